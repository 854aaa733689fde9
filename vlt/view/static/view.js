// Maths, the item's history, and keyboard shortcuts. Everything else works without this file.
"use strict";

for (const node of document.querySelectorAll(".maths")) {
  const written = node.textContent;
  try {
    katex.render(node.dataset.tex, node, {
      displayMode: node.classList.contains("display"),
      trust: false, strict: "ignore", throwOnError: true, maxSize: 20, maxExpand: 200,
    });
  } catch (error) {
    node.textContent = written; // KaTeX empties the node before it parses the maths
    node.classList.add("broken");
    node.title = String(error.message || error).slice(0, 200);
  }
}

const path = document.querySelector("[data-load]");
if (path) {
  fetch(path.dataset.load)
    .then((answer) => { if (!answer.ok) throw new Error(answer.statusText); return answer.text(); })
    .then((html) => { path.innerHTML = html; })
    .catch((error) => { path.append(` (${error.message})`); });
}

const press = (selector) => { const found = document.querySelector(selector); if (found) found.click(); return found; };
const note = document.querySelector("#note");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input, select, textarea");
  if (typing) {
    if (event.key === "Escape") typing.blur();
    if (event.key === "Enter" && typing === note) { event.preventDefault(); press("#flag"); }
    return;
  }
  const keys = {
    ArrowRight: () => press("[rel=next]"), j: () => press("[rel=next]"), n: () => press("[rel=next]"),
    ArrowLeft: () => press("[rel=prev]"), k: () => press("[rel=prev]"), p: () => press("[rel=prev]"),
    a: () => press("#accept"), u: () => press("#unmark"), Escape: () => press("#back"),
    f: () => { if (note) { note.focus(); note.select(); } return note; },
    "/": () => { const box = document.querySelector("#search"); if (box) box.focus(); return box; },
    t: () => {
      const folds = [...document.querySelectorAll(".sample details")];
      const open = folds.some((fold) => !fold.open);
      for (const fold of folds) fold.open = open;
      return folds.length;
    },
  };
  if (keys[event.key] && keys[event.key]()) event.preventDefault();
});
