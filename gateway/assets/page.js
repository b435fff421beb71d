// Refreshes the part of the status page that changes by itself, while somebody looks at it. The page reads without this.
"use strict";

const PAUSE_MS = 5000;
const PATIENCE_MS = 10000;

const live = document.getElementById("live");
const lost = document.getElementById("lost");
const announce = document.getElementById("announce");
let timer = 0;

function headline() {
  return live.querySelector("#headline")?.textContent ?? "";
}

async function refresh() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    const answer = await fetch("/page/live", { signal: AbortSignal.timeout(PATIENCE_MS), cache: "no-store" });
    if (!answer.ok) throw new Error(`answer ${answer.status}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const before = headline();
    live.replaceChildren(...fresh.body.childNodes);
    // A screen reader hears of a change, not of every number.
    if (headline() !== before) announce.textContent = headline();
    lost.hidden = true;
    live.classList.remove("old");
  } catch {
    // What is shown is old from here on: that must be seen.
    if (lost.hidden) {
      lost.textContent = "The box does not answer. What stands below is old. Check its power and network.";
      lost.hidden = false;
      live.classList.add("old");
    }
  }
  timer = setTimeout(refresh, PAUSE_MS);
}

if (live) {
  document.addEventListener("visibilitychange", refresh);
  timer = setTimeout(refresh, PAUSE_MS);
}

// What takes a while says so, and cannot be asked for twice.
for (const form of document.querySelectorAll("form[data-wait]")) {
  form.addEventListener("submit", () => {
    const button = form.querySelector("button");
    button.textContent = form.dataset.wait;
    announce.textContent = form.dataset.wait;
    setTimeout(() => { button.disabled = true; }, 0);
  });
}
