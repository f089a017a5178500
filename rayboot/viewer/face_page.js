"use strict";
// The page of faces that rayboot.viewer.make_face_page makes.

(() => {
  const byId = (id) => document.getElementById(id);
  const PHOTO_LIGHT = [0.86, 0.16];
  const faces = JSON.parse(byId("faces").textContent), faceSelect = byId("face");
  let viewer;
  try {
    viewer = new MeshViewer(byId("plot"), { wheelZoom: "with-key" });
  } catch (error) {
    byId("message").textContent = `No 3D view: ${error.message}.`;
    byId("message").hidden = false;
    return;
  }

  // Each face is unpacked when it is first shown.
  const unpacked = new Map();
  async function unpack(index) {
    const { positions, step, centre, indices, colors, photo, cropSize } = faces[index];
    const mesh = {
      positions: Float32Array.from(MeshViewer.unpack(positions), (value, i) => step * value + centre[i % 3]),
      indices: MeshViewer.unpack(indices),
      colors: colors && MeshViewer.unpack(colors),
    };
    if (photo) {
      const image = new Image();
      image.src = photo;
      await image.decode();
      mesh.texture = MeshViewer.photoTexture(mesh, cropSize, image);
    }
    return mesh;
  }

  async function show() {
    const index = faceSelect.selectedIndex;
    if (!unpacked.has(index)) unpacked.set(index, unpack(index));
    const mesh = await unpacked.get(index);
    if (index !== faceSelect.selectedIndex) return;
    const { centre, halfWidth } = MeshViewer.measure(mesh.positions);
    const part = {
      positions: mesh.positions.map((value, i) => value - centre[i % 3]), indices: mesh.indices,
    };
    if (mesh.colors && byId("texture").checked) {
      Object.assign(part, { colors: mesh.colors, light: PHOTO_LIGHT });
      if (mesh.texture) part.texture = mesh.texture;
    }
    byId("texture-label").hidden = !mesh.colors;
    viewer.show([part], halfWidth);
    byId("plot").dataset.shown = index;
  }

  faceSelect.replaceChildren(...faces.map(({ label }) => new Option(label)));
  byId("face-label").hidden = faces.length === 1;
  faceSelect.addEventListener("change", show);
  byId("texture").addEventListener("change", show);
  for (const button of document.querySelectorAll("[data-azimuth]")) {
    button.addEventListener("click", () => viewer.viewFrom(Number(button.dataset.azimuth)));
  }
  show();
})();
