
// Sorts a table by the column whose header button is pressed; unknown values stay last, equal ones keep their order.
// A row's reason, where it has one, is the row below it and goes with it.
const table = document.querySelector("table");
const body = table.tBodies[0];
const reasons = new Map(Array.from(body.querySelectorAll("tr.why"), (why) => [why.previousElementSibling, why]));

function key(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.v ?? cell.textContent;
  return text === "" || Number.isNaN(Number(text)) ? text : Number(text);
}

function compare(a, b) {
  if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
  return typeof a === "number" ? -1 : 1;
}

function sortBy(header) {
  const column = header.cellIndex;
  const descending = header.getAttribute("aria-sort") === "ascending";
  const points = Array.from(body.rows).filter((row) => !row.matches(".why"));
  const keyed = points.map((row) => ({ row, why: reasons.get(row), key: key(row, column) }));
  keyed.sort((a, b) => {
    if (a.key === "" || b.key === "") return (a.key === "") - (b.key === "");
    return descending ? compare(b.key, a.key) : compare(a.key, b.key);
  });
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  body.append(...keyed.flatMap(({ row, why }) => (why ? [row, why] : [row])));
}

for (const header of table.tHead.rows[0].cells) {
  header.querySelector("button").addEventListener("click", () => sortBy(header));
}
