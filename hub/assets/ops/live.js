// Numbers that change by themselves. The pages read without this.
"use strict";

const AGO = [[60, "s"], [3600, "min"], [172800, "h"], [Infinity, "d"]];
const UNIT = { s: 1, min: 60, h: 3600, d: 86400 };

// The words are the page's: it knows the language.
function ago(at, words) {
  const seconds = Math.max(0, Date.now() / 1000 - at);
  const unit = AGO.find(([limit]) => seconds < limit)[1];
  return words[unit].replace("{n}", Math.floor(seconds / UNIT[unit]));
}

const tabs = document.querySelector("[data-live]");
if (tabs) {
  const source = new EventSource(tabs.dataset.live);
  const words = tabs.dataset;
  // Old numbers are told to be old.
  source.addEventListener("error", () => tabs.classList.add("old"));
  source.addEventListener("open", () => tabs.classList.remove("old"));
  source.addEventListener("counts", (event) => {
    for (const count of JSON.parse(event.data)) {
      const tab = tabs.querySelector(`[data-tab="${count.tab}"]`);
      if (!tab) continue;
      tab.querySelector(".count").textContent = count.open;
      const small = tab.querySelector("small");
      small.textContent = count.oldest === null ? words.nothing : words.oldest.replace("{span}", ago(count.oldest, words));
      if (count.late > 0) {
        const late = document.createElement("strong");
        late.className = "late";
        late.textContent = words.late.replace("{n}", count.late);
        small.append(" · ", late);
      }
    }
  });
}

const follow = document.querySelector("[data-feed]");
if (follow) {
  const rows = document.querySelector("#feed tbody") ?? document.createElement("tbody");
  const MOST = 200;
  let source = null;
  const cell = (row, text) => { const td = document.createElement("td"); td.append(text); row.append(td); };
  follow.addEventListener("change", () => {
    source?.close();
    if (!follow.checked) return;
    source = new EventSource(follow.dataset.feed);
    source.addEventListener("verdicts", (event) => {
      for (const one of JSON.parse(event.data).reverse()) {
        const row = document.createElement("tr");
        const link = document.createElement("a");
        link.href = `/ops/verdicts/${one.box}/${one.submission}`;
        link.textContent = one.short;
        const grave = document.createElement("span");
        grave.className = "severity";
        grave.textContent = one.grave;
        row.className = `s-${one.severity}`;
        for (const part of [link, one.at, one.tenant, one.status, grave, one.why]) cell(row, part);
        rows.prepend(row);
        while (rows.children.length > MOST) rows.lastElementChild.remove();
      }
    });
  });
}
