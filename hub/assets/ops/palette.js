// Ctrl-K: a list of all that this page offers, to be found by typing. It is made of the page's own links and buttons, so nothing is in it that
// one may not do. The pages work without this.
"use strict";

const palette = document.getElementById("palette");

// On a narrow window the navigation is one line that scrolls: where one is should be in sight, and the page stays where it was.
const current = document.querySelector("header nav [aria-current]");
if (current) {
  const [place, line] = [current, current.parentElement].map((one) => one.getBoundingClientRect());
  current.parentElement.scrollLeft += place.left + place.width / 2 - (line.left + line.width / 2);
}

// What something is called, without the key that is on it.
function called(thing) {
  const copy = (thing.labels?.[0] ?? thing).cloneNode(true);
  for (const key of copy.querySelectorAll("kbd")) key.remove();
  return copy.textContent.trim().replace(/\s+/g, " ");
}

function act(thing) {
  if (thing.matches("select")) return thing.focus();
  thing.click();
  if (thing.type === "radio") thing.focus();
}

function offered() {
  const all = [...document.querySelectorAll("main [data-key], main [data-focus]")];
  const actions = all.filter((one) => one.checkVisibility()).map((one) => ({ name: called(one), run: () => act(one) }));
  const links = [...document.querySelectorAll("header nav a, header .me a")];
  return [...actions, ...links.map((link) => ({ name: called(link), run: () => link.click() }))];
}

// An id, a hash or an author's number is looked up, where one may.
function lookup(text) {
  const link = document.querySelector("header nav a[href='/ops/verdicts']");
  if (!link || !/^([0-9a-f]{16}|[0-9a-f]{32}|[0-9a-f]{64}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i.test(text)) return [];
  const name = palette.dataset.look.replace("{text}", () => text);
  return [{ name, run: () => location.assign(`${link.href}?q=${encodeURIComponent(text)}`) }];
}

if (palette) {
  const input = palette.querySelector("input");
  const list = palette.querySelector("ul");
  const said = palette.querySelector("[role=status]");
  let all = [];
  let found = [];
  let at = 0;

  const mark = (next) => {
    at = next;
    [...list.children].forEach((option, n) => option.setAttribute("aria-selected", n === at));
    const here = list.children[at];
    here?.scrollIntoView({ block: "nearest" });
    if (here) input.setAttribute("aria-activedescendant", here.id);
    else input.removeAttribute("aria-activedescendant");
  };
  const show = () => {
    const text = input.value.trim();
    const words = text.toLowerCase().split(/\s+/);
    const named = all.filter((one) => words.every((word) => one.name.toLowerCase().includes(word)));
    found = [...lookup(text), ...named];
    list.replaceChildren(...found.map((one, n) => {
      const option = document.createElement("li");
      option.id = `palette-${n}`;
      option.setAttribute("role", "option");
      option.textContent = one.name;
      return option;
    }));
    list.hidden = found.length === 0;
    input.setAttribute("aria-expanded", !list.hidden);
    const told = list.hidden ? palette.dataset.none : found.length === 1 ? palette.dataset.one : palette.dataset.many;
    said.textContent = told.replace("{n}", found.length);
    mark(0);
  };
  const run = (n) => {
    const one = found[n];
    if (!one) return;
    // First back to where one was: what is done next may move on from there.
    palette.close();
    one.run();
  };

  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    if (palette.open) return palette.close();
    all = offered();
    input.value = "";
    show();
    palette.showModal();
    input.focus();
  });
  input.addEventListener("input", show);
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && found.length > 0) mark((at + step + found.length) % found.length);
    else if (event.key === "Enter" && !event.isComposing) run(at);
    else return;
    event.preventDefault();
  });
  list.addEventListener("click", (event) => run([...list.children].indexOf(event.target.closest("li"))));
}
