"use strict";
// The 3D viewer. Names are inserted as text, never as markup.

(() => {
  const shapes = JSON.parse(document.getElementById("shapes").textContent);
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
