// The editor of policies: leads to the line of a mistake. The page works without this.
"use strict";

const text = document.getElementById("text");

for (const button of document.querySelectorAll("[data-line]")) {
  button.addEventListener("click", () => {
    const lines = text.value.split("\n");
    const line = Math.min(Number(button.dataset.line), lines.length);
    const from = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
    text.focus();
    text.setSelectionRange(from, from + lines[line - 1].length);
    // Browsers do not scroll to a selection by themselves.
    text.scrollTop = (text.scrollHeight / lines.length) * Math.max(0, line - 5);
  });
}
