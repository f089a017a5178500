"use strict";
// Sorting of tables, and the view of shapes. Names only ever become text, never markup.

(() => {
  const collator = new Intl.Collator("en", { numeric: true });

  function valueOf(row, column) {
    const cell = row.cells[column];
    return "number" in cell.dataset ? Number.parseFloat(cell.dataset.number) : cell.dataset.value;
  }

  function compare(a, b, direction) {
    if (typeof a === "string") return direction * collator.compare(a, b);
    // What has no number stays below, whichever way.
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
    return direction * (a - b);
  }

  function sort(table, header) {
    const ascending = header.getAttribute("aria-sort") !== "ascending";
    for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [valueOf(row, header.cellIndex), row]);
    rows.sort((a, b) => compare(a[0], b[0], ascending ? 1 : -1));
    body.append(...rows.map(([, row]) => row));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const button of table.querySelectorAll("th button")) {
      button.addEventListener("click", () => sort(table, button.closest("th")));
    }
  }
})();

(() => {
  const source = document.getElementById("shapes");
  if (!source) return;
  const shapes = JSON.parse(source.textContent);
  const [plot, face, shape, plain, scale] = ["plot", "face", "shape", "plain", "scale"].map((id) =>
    document.getElementById(id));
  const FAR = 1.55, STEP = 10, STEEPEST = 85;
  // Degrees around the upright axis and above the horizon; times the usual distance.
  const view = { azimuth: 0, height: 0, distance: 1 };

  function camera() {
    const azimuth = view.azimuth * Math.PI / 180, height = view.height * Math.PI / 180;
    const far = FAR * view.distance;
    return {
      eye: {
        x: far * Math.cos(height) * Math.sin(azimuth),
        y: -far * Math.cos(height) * Math.cos(azimuth),
        z: far * Math.sin(height),
      },
      center: { x: 0, y: 0, z: 0 },
      up: { x: 0, y: 0, z: 1 },
    };
  }

  function look({ eye, center }) {
    const [x, y, z] = ["x", "y", "z"].map((axis) => eye[axis] - center[axis]);
    const far = Math.hypot(x, y, z);
    view.azimuth = Math.atan2(x, -y) * 180 / Math.PI;
    view.height = Math.asin(z / far) * 180 / Math.PI;
    view.distance = far / FAR;
  }

  function layout() {
    const axis = {
      visible: false, showspikes: false, range: [-shapes.reach, shapes.reach], autorange: false,
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

  function colorsOf(packed) {
    const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
    return Array.from({ length: bytes.length / 3 }, (_, at) =>
      `rgb(${bytes[3 * at]},${bytes[3 * at + 1]},${bytes[3 * at + 2]})`);
  }

  function drawn({ rgb, ...trace }) {
    if (trace.marker) return { ...trace, marker: { ...trace.marker, colorscale: shapes.scale } };
    const lit = { ...trace, lightposition: { x: -6e4, y: -1e5, z: 8e4 } };
    // A colour scale without values of its own would show heights.
    if (trace.intensity) return { ...lit, colorscale: shapes.scale };
    if (!rgb || plain.checked) return lit;
    // The photo has its own light.
    const lighting = { ...trace.lighting, ambient: 0.85, diffuse: 0.2 };
    return { ...lit, vertexcolor: colorsOf(rgb), lighting };
  }

  function show() {
    const chosen = shapes.faces[face.selectedIndex].shapes[shape.selectedIndex];
    scale.hidden = !chosen.error;
    plain.disabled = chosen.error;
    // A trace of another name is made anew; one of the same would keep the colours of the last.
    const name = `shape-${face.selectedIndex}-${shape.selectedIndex}-${plain.checked}`;
    const traces = chosen.traces.map((trace, at) => ({ ...drawn(trace), uid: `${name}-${at}` }));
    return Plotly.react(plot, traces, layout(), {
      displayModeBar: false, responsive: true, scrollZoom: false,
    });
  }

  function fillShapes() {
    const before = shape.value;
    const labels = shapes.faces[face.selectedIndex].shapes.map(({ label }) => label);
    shape.replaceChildren(...labels.map((label) => new Option(label, label)));
    if (labels.includes(before)) shape.value = before;
  }

  function turn(azimuth, height, zoom = 1) {
    view.azimuth += azimuth;
    view.height = Math.max(-STEEPEST, Math.min(STEEPEST, view.height + height));
    view.distance = Math.max(0.3, Math.min(3, view.distance * zoom));
    return Plotly.relayout(plot, { "scene.camera": camera() });
  }

  const KEYS = {
    // The shape turns as if it were dragged that way; the camera goes the other.
    ArrowLeft: () => turn(STEP, 0), ArrowRight: () => turn(-STEP, 0),
    ArrowUp: () => turn(0, -STEP), ArrowDown: () => turn(0, STEP),
    "+": () => turn(0, 0, 1 / 1.15), "=": () => turn(0, 0, 1 / 1.15), "-": () => turn(0, 0, 1.15),
    0: () => lookFrom(0),
  };

  function lookFrom(azimuth) {
    Object.assign(view, { azimuth, height: 0, distance: 1 });
    return turn(0, 0);
  }

  face.replaceChildren(...shapes.faces.map(({ label }) => new Option(label)));
  fillShapes();
  face.addEventListener("change", () => { fillShapes(); show(); });
  shape.addEventListener("change", show);
  plain.addEventListener("change", show);
  for (const button of document.querySelectorAll("[data-azimuth]")) {
    button.addEventListener("click", () => lookFrom(Number(button.dataset.azimuth)));
  }
  plot.addEventListener("keydown", (event) => {
    const act = KEYS[event.key];
    if (!act || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    act();
  });
  show().then(() => plot.on("plotly_relayout", (change) => {
    if (change["scene.camera"]) look(change["scene.camera"]);
  }));
})();
