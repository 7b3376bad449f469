"use strict";
const sortValue = (cell) => {
  const number = parseFloat(cell.dataset.value);
  return Number.isNaN(number) ? cell.textContent.trim() : number;
};
const sortBy = (heading) => {
  const table = heading.closest("table"), column = heading.cellIndex, body = table.tBodies[0];
  const numeric = heading.classList.contains("num");
  const up = heading.hasAttribute("aria-sort") ? heading.getAttribute("aria-sort") === "descending" : !numeric;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", up ? "ascending" : "descending");
  const order = (a, b) => (typeof a === "number" ? a - b : String(a).localeCompare(String(b)));
  [...body.rows]
    .map((row) => [sortValue(row.cells[column]), row])
    .sort(([a], [b]) => (up ? order(a, b) : order(b, a)))
    .forEach(([, row]) => body.append(row));
  for (const row of body.rows) row.classList.remove("first");
};
for (const heading of document.querySelectorAll(".sortable thead th:not([data-nosort])")) {
  heading.tabIndex = 0;
  heading.addEventListener("click", () => sortBy(heading));
  heading.addEventListener("keydown", (event) => event.key === "Enter" && sortBy(heading));
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((item) => (item.open = true)));
