"use strict";

// Tables: a button in a column's head sorts by it, largest first, then smallest first.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const body = table.tBodies[0];
  for (const button of table.querySelectorAll("th button")) {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const column = Number(button.dataset.column);
      const up = head.getAttribute("aria-sort") === "descending";
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const valueOf = (row) => row.cells[column].dataset.value;
      const compare = (a, b) => {
        const [x, y] = [valueOf(a), valueOf(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = head.dataset.text === undefined ? Number(x) - Number(y) : y.localeCompare(x);
        return up ? order : -order;
      };
      body.append(...[...body.rows].sort(compare));
    });
  }
}

// What changed: show those that fit every choice.
const filters = document.querySelector(".filters");
if (filters) {
  filters.hidden = false;
  const items = [...document.querySelectorAll(".changes > li")];
  const selects = [...filters.querySelectorAll("select")];
  const count = filters.querySelector("output");
  const filter = () => {
    let shown = 0;
    for (const item of items) {
      item.hidden = !selects.every((select) => !select.value || item.dataset[select.name] === select.value);
      shown += !item.hidden;
    }
    count.textContent = `${shown} of ${items.length}`;
  };
  for (const select of selects) select.addEventListener("change", filter);
  filter();
}

// Contents: mark the section that is being read.
const links = new Map([...document.querySelectorAll(".contents a")].map((a) => [a.hash.slice(1), a]));
const strip = document.querySelector(".contents");
const headings = [...links.keys()].map((id) => document.getElementById(id));
const mark = () => {
  const atEnd = innerHeight + scrollY > document.documentElement.scrollHeight - 2;
  const line = atEnd ? innerHeight : innerHeight / 3;
  const here = headings.findLast((heading) => heading.getBoundingClientRect().top < line) ?? headings[0];
  for (const [id, link] of links) {
    link.classList.toggle("here", id === here.id);
    if (id === here.id) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  // On a narrow screen the contents are a strip, which follows.
  strip.scrollLeft = links.get(here.id).offsetLeft - 40;
};
addEventListener("scroll", mark, { passive: true });
mark();

// What is printed is the whole page.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
