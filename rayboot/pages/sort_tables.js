"use strict";
// Sorting of tables by the buttons in their headers.

(() => {
  const collator = new Intl.Collator("en", { numeric: true });

  function cellValue(row, column) {
    const cell = row.cells[column];
    return "number" in cell.dataset ? Number.parseFloat(cell.dataset.number) : cell.dataset.value;
  }

  function compareValues(a, b, direction) {
    if (typeof a === "string") return direction * collator.compare(a, b);
    // Missing numbers stay last in either direction.
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
    return direction * (a - b);
  }

  function sortTable(table, header) {
    const ascending = header.getAttribute("aria-sort") !== "ascending";
    for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [cellValue(row, header.cellIndex), row]);
    rows.sort((a, b) => compareValues(a[0], b[0], ascending ? 1 : -1));
    body.append(...rows.map(([, row]) => row));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const button of table.querySelectorAll("th button")) {
      button.addEventListener("click", () => sortTable(table, button.closest("th")));
    }
  }
})();
