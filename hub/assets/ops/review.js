// The review screen's keys, and the evidence that comes from the box. The forms work without this.
"use strict";

const typing = (target) => target.matches("textarea, select, input:not([type=checkbox]):not([type=radio])");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
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
  if (!sent.ok) return;
  form.closest("figure").querySelector(".picture").classList.remove("veiled");
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
    event.target.closest("figure").querySelector("img").src = event.target.href;
  });
  evidence.addEventListener("error", (event) => {
    if (!event.target.matches("img")) return;
    const gone = document.createElement("p");
    gone.className = "notice";
    gone.textContent = "The box shows no picture of it: it is away, or does not keep it any more.";
    event.target.closest(".picture").replaceWith(gone);
  }, true);
  fetch(evidence.dataset.load)
    .then((answer) => (answer.ok ? answer.text() : Promise.reject(new Error(`${answer.status}`))))
    .then((html) => {
      const fresh = new DOMParser().parseFromString(html, "text/html");
      evidence.replaceChildren(...fresh.body.childNodes);
    })
    .catch(() => { evidence.textContent = "The hub does not answer. Load the page again."; })
    .finally(() => evidence.removeAttribute("aria-busy"));
}
