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
  const DISTANCE = 1.55, STEP_DEG = 10, MAX_ELEVATION_DEG = 85;
  // Degrees about the vertical axis and above the horizon; distance relative to DISTANCE.
  const view = { azimuth: 0, elevation: 0, distance: 1 };

  function camera() {
    const azimuth = view.azimuth * Math.PI / 180, elevation = view.elevation * Math.PI / 180;
    const distance = DISTANCE * view.distance;
    return {
      eye: {
        x: distance * Math.cos(elevation) * Math.sin(azimuth),
        y: -distance * Math.cos(elevation) * Math.cos(azimuth),
        z: distance * Math.sin(elevation),
      },
      center: { x: 0, y: 0, z: 0 },
      up: { x: 0, y: 0, z: 1 },
    };
  }

  function readCamera({ eye, center }) {
    const [x, y, z] = ["x", "y", "z"].map((axis) => eye[axis] - center[axis]);
    const distance = Math.hypot(x, y, z);
    view.azimuth = Math.atan2(x, -y) * 180 / Math.PI;
    view.elevation = Math.asin(z / distance) * 180 / Math.PI;
    view.distance = distance / DISTANCE;
  }

  function layout() {
    const axis = {
      visible: false, showspikes: false, autorange: false,
      range: [-shapes.half_width, shapes.half_width],
    };
    return {
      margin: { l: 0, r: 0, t: 0, b: 0 },
      paper_bgcolor: "rgba(0,0,0,0)",
      showlegend: false,
      scene: {
        xaxis: axis, yaxis: axis, zaxis: axis, aspectmode: "cube", dragmode: "turntable",
        camera: camera(), bgcolor: "rgba(0,0,0,0)",
      },
    };
  }

  function unpackColors(packed) {
    const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
    return Array.from({ length: bytes.length / 3 }, (_, index) =>
      `rgb(${bytes[3 * index]},${bytes[3 * index + 1]},${bytes[3 * index + 2]})`);
  }

  function makeTrace({ rgb, ...trace }) {
    if (trace.marker) return { ...trace, marker: { ...trace.marker, colorscale: shapes.scale } };
    const lit = { ...trace, lightposition: { x: -6e4, y: -1e5, z: 8e4 } };
    // A colour scale without intensities would show heights.
    if (trace.intensity) return { ...lit, colorscale: shapes.scale };
    if (!rgb || plainCheckbox.checked) return lit;
    // The colours of the photo include its light already.
    const lighting = { ...trace.lighting, ambient: 0.85, diffuse: 0.2 };
    return { ...lit, vertexcolor: unpackColors(rgb), lighting };
  }

  function show() {
    const selected = shapes.faces[faceSelect.selectedIndex].shapes[shapeSelect.selectedIndex];
    colorScale.hidden = !selected.error;
    plainCheckbox.disabled = selected.error;
    // Plotly would keep the colours of a trace that has the same uid as the previous one.
    const name = ["shape", faceSelect.selectedIndex, shapeSelect.selectedIndex,
      plainCheckbox.checked].join("-");
    const traces = selected.traces.map((trace, index) => ({ ...makeTrace(trace), uid: `${name}-${index}` }));
    return Plotly.react(plot, traces, layout(), {
      displayModeBar: false, responsive: true, scrollZoom: false,
    });
  }

  function fillShapes() {
    const before = shapeSelect.value;
    const labels = shapes.faces[faceSelect.selectedIndex].shapes.map(({ label }) => label);
    shapeSelect.replaceChildren(...labels.map((label) => new Option(label, label)));
    if (labels.includes(before)) shapeSelect.value = before;
  }

  function rotate(azimuth, elevation, zoom = 1) {
    view.azimuth += azimuth;
    const limited = Math.min(MAX_ELEVATION_DEG, view.elevation + elevation);
    view.elevation = Math.max(-MAX_ELEVATION_DEG, limited);
    view.distance = Math.max(0.3, Math.min(3, view.distance * zoom));
    return Plotly.relayout(plot, { "scene.camera": camera() });
  }

  const KEYS = {
    // The shape rotates as if it were dragged in that direction, so the camera moves the other way.
    ArrowLeft: () => rotate(STEP_DEG, 0), ArrowRight: () => rotate(-STEP_DEG, 0),
    ArrowUp: () => rotate(0, -STEP_DEG), ArrowDown: () => rotate(0, STEP_DEG),
    "+": () => rotate(0, 0, 1 / 1.15), "=": () => rotate(0, 0, 1 / 1.15), "-": () => rotate(0, 0, 1.15),
    0: () => viewFrom(0),
  };

  function viewFrom(azimuth) {
    Object.assign(view, { azimuth, elevation: 0, distance: 1 });
    return rotate(0, 0);
  }

  faceSelect.replaceChildren(...shapes.faces.map(({ label }) => new Option(label)));
  fillShapes();
  faceSelect.addEventListener("change", () => { fillShapes(); show(); });
  shapeSelect.addEventListener("change", show);
  plainCheckbox.addEventListener("change", show);
  for (const button of document.querySelectorAll("[data-azimuth]")) {
    button.addEventListener("click", () => viewFrom(Number(button.dataset.azimuth)));
  }
  plot.addEventListener("keydown", (event) => {
    const action = KEYS[event.key];
    if (!action || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    action();
  });
  show().then(() => plot.on("plotly_relayout", (change) => {
    if (change["scene.camera"]) readCamera(change["scene.camera"]);
  }));
})();
