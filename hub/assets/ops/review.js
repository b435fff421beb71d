// The review screen's keys, and the evidence that comes from the box. The forms work without this.
"use strict";

const keys = document.body.dataset.keys !== "off";
const typing = (target) => target.matches("textarea, select, input:not([type=checkbox]):not([type=radio])");

document.addEventListener("keydown", (event) => {
  if (!keys || document.querySelector("dialog[open]") || event.repeat || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  const focus = document.querySelector(`[data-focus="${CSS.escape(event.key)}"]`);
  const found = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (focus) {
    focus.focus();
  } else if (found) {
    found.click();
    if (found.type === "radio") {
      found.focus();
      const reason = document.getElementById("reason");
      if (reason && reason.value === "") reason.focus();
    }
  } else {
    return;
  }
  event.preventDefault();
});

// A rejection names a policy, and an approval none.
const form = document.getElementById("decision-form");
if (form && form.elements.category) {
  form.addEventListener("change", () => {
    form.elements.category.required = form.elements.verb.value === "reject";
  });
}

async function reveal(form) {
  const sent = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
  const figure = form.closest("figure");
  if (!sent.ok) {
    form.querySelector("button").textContent = evidence.dataset.not;
    return;
  }
  const image = figure.querySelector("img");
  figure.querySelector(".picture")?.classList.remove("veiled");
  if (image) image.alt = image.dataset.revealed;
  figure.tabIndex = -1;
  figure.focus();
  form.remove();
}

const evidence = document.querySelector("[data-load]");
if (evidence) {
  evidence.addEventListener("submit", (event) => {
    event.preventDefault();
    reveal(event.target);
  });
  evidence.addEventListener("click", (event) => {
    if (!event.target.matches("[data-moment]")) return;
    event.preventDefault();
    const image = event.target.closest("figure").querySelector("img");
    if (image) image.src = event.target.href;
  });
  evidence.addEventListener("error", (event) => {
    if (!event.target.matches("img")) return;
    const gone = document.createElement("p");
    gone.className = "notice";
    gone.textContent = evidence.dataset.gone;
    event.target.closest(".picture").replaceWith(gone);
  }, true);
  fetch(evidence.dataset.load)
    .then((answer) => (answer.ok && !answer.redirected ? answer.text() : Promise.reject(new Error(`${answer.status}`))))
    .then((html) => {
      const fresh = new DOMParser().parseFromString(html, "text/html");
      evidence.replaceChildren(...fresh.body.childNodes);
    })
    .catch(() => { evidence.textContent = evidence.dataset.away; })
    .finally(() => evidence.removeAttribute("aria-busy"));
}
