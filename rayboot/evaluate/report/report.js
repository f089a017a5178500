"use strict";
// Sorting of tables, and the 3D viewer. Names are inserted as text, never as markup.

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

(() => {
  const source = document.getElementById("shapes");
  if (!source) return;
  const shapes = JSON.parse(source.textContent);
  const [plot, faceSelect, shapeSelect, plainCheckbox, colorScale] =
    ["plot", "face", "shape", "plain", "scale"].map((id) => document.getElementById(id));
  let viewer;
  try {
    viewer = new MeshViewer(plot);
  } catch (error) {
    const note = document.createElement("p");
    note.textContent = `No 3D view: ${error.message}.`;
    plot.replaceWith(note);
    return;
  }

  function makePart({ positions, indices, colors, light, ...part }, isPlain) {
    const made = { ...part, positions: Float32Array.from(MeshViewer.unpack(positions)) };
    if (indices) made.indices = MeshViewer.unpack(indices);
    if (colors && !isPlain) Object.assign(made, { colors: MeshViewer.unpack(colors), light });
    return made;
  }

  function show() {
    const selected = shapes.faces[faceSelect.selectedIndex].shapes[shapeSelect.selectedIndex];
    colorScale.hidden = !selected.error;
    plainCheckbox.disabled = selected.error;
    const isPlain = plainCheckbox.checked && !selected.error;
    viewer.show(selected.parts.map((part) => makePart(part, isPlain)), shapes.half_width);
  }

  function fillShapes() {
    const before = shapeSelect.value;
    const labels = shapes.faces[faceSelect.selectedIndex].shapes.map(({ label }) => label);
    shapeSelect.replaceChildren(...labels.map((label) => new Option(label, label)));
    if (labels.includes(before)) shapeSelect.value = before;
  }

  faceSelect.replaceChildren(...shapes.faces.map(({ label }) => new Option(label)));
  fillShapes();
  faceSelect.addEventListener("change", () => { fillShapes(); show(); });
  shapeSelect.addEventListener("change", show);
  plainCheckbox.addEventListener("change", show);
  for (const button of document.querySelectorAll("[data-azimuth]")) {
    button.addEventListener("click", () => viewer.viewFrom(Number(button.dataset.azimuth)));
  }
  show();
})();
