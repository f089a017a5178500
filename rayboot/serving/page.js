"use strict";
// The page of the service: posts a photo to its API and shows the meshes that come back.

(() => {
  const byId = (id) => document.getElementById(id);
  const plot = byId("plot"), secondPlot = byId("second-plot");
  const TEXTURE_SIZE = 1024;
  const PHOTO_LIGHT = [0.86, 0.16];
  const WORDS = {
    "no-face": "No face was found in this photo. Try one in which the face is larger, sharper or less turned away.",
    "face-too-small": "The face in this photo is too small. Try a larger version, or a photo taken closer.",
    undecodable: "This file is no photo that can be read here. JPEG, PNG and WebP files work.",
    truncated: "The file is damaged or incomplete. Try another copy of the photo.",
    empty: "The file is empty.",
    "too-small": "The photo is too small: it has less than 16 pixels on a side.",
    "no-shape": "No shape was found for this face. Try another photo.",
    busy: "The service is busy. Try again in a moment.",
    timeout: "This took too long. Try again, or with a smaller photo.",
  };

  let current = null;  // The photo on the page and what is known about it.
  let viewers = null;
  let lastRequest = 0;

  class Refusal extends Error {
    constructor(problem) {
      super(WORDS[problem.reason] ?? problem.detail ?? "The service failed.");
      this.problem = problem;
    }
  }

  // Requests.

  function post(file, query, onProgress) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest(), body = new FormData();
      body.append("photo", file, file.name || "photo");
      request.open("POST", `v1/reconstruct?${new URLSearchParams(query)}`);
      request.responseType = "arraybuffer";
      if (SETTINGS.requires_token) {
        request.setRequestHeader("Authorization", `Bearer ${sessionStorage.getItem("token") ?? ""}`);
      }
      request.upload.addEventListener("progress", (event) => {
        if (event.lengthComputable) onProgress?.(event.loaded / event.total);
      });
      request.addEventListener("load", () => {
        if (request.status === 200) { resolve(request); return; }
        let problem = {};
        try { problem = JSON.parse(new TextDecoder().decode(request.response)); } catch { /* No problem+json. */ }
        reject(new Refusal(problem));
      });
      request.addEventListener("error", () =>
        reject(new Error("The service cannot be reached. Is it still running?")));
      request.send(body);
    });
  }

  async function reconstruct(file, face, model) {
    const start = performance.now();
    const request = await post(
      file, { output: "json", mesh: "glb", faces: face === 1 ? "largest" : face, model },
      (fraction) => setStatus(fraction < 1 ? "Sending the photo" : "Reconstructing the face", fraction < 1 ? fraction : null));
    const reply = JSON.parse(new TextDecoder().decode(request.response));
    const [described] = reply.faces;
    const bytes = Uint8Array.from(atob(described.glb), (character) => character.charCodeAt(0));
    const mesh = parseGlb(bytes.buffer);
    // The file is in metres, the texture in px of the crop.
    mesh.positions = mesh.positions.map((value) => value / described.units_per_pixel);
    return {
      ...described, ...mesh, glb: bytes, model: reply.model, photo: reply.photo,
      detections: reply.detections, seconds: (performance.now() - start) / 1000,
    };
  }

  // The parts of a GLB that rayboot writes: one mesh with positions, indices and linear colours.
  function parseGlb(buffer) {
    const data = new DataView(buffer), jsonLength = data.getUint32(12, true);
    const document = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 20, jsonLength)));
    const start = 20 + jsonLength + 8;
    const read = (index, Kind, width) => {
      const accessor = document.accessors[index], view = document.bufferViews[accessor.bufferView];
      return new Kind(buffer.slice(start + view.byteOffset, start + view.byteOffset + accessor.count * width * Kind.BYTES_PER_ELEMENT));
    };
    const primitive = document.meshes[0].primitives[0];
    const positions = read(primitive.attributes.POSITION, Float32Array, 3);
    const indices = read(primitive.indices, Uint32Array, 1);
    const linear = read(primitive.attributes.COLOR_0, Uint16Array, 4);
    const colors = new Uint8Array(positions.length);
    for (let i = 0; i < colors.length; i++) {
      const value = linear[4 * Math.floor(i / 3) + i % 3] / 65535;
      colors[i] = Math.round(255 * (value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055));
    }
    return { positions, indices, colors };
  }

  // The photo on the surface, in its own resolution, where the photo shows the surface.

  function makeTexture(mesh, image) {
    if (!image || image.width !== mesh.photo.width || image.height !== mesh.photo.height) return null;
    const size = mesh.crop_size, scale = TEXTURE_SIZE / size;
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = TEXTURE_SIZE;
    const context = canvas.getContext("2d");
    const [[a, c, e], [b, d, f]] = mesh.crop_from_photo;
    // Pixel centres are whole numbers in the crop, and halves in a canvas.
    context.setTransform(scale * a, scale * b, scale * c, scale * d,
      scale * (e + 0.5 - (a + c) / 2), scale * (f + 0.5 - (b + d) / 2));
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0);
    return MeshViewer.photoTexture(mesh, size, canvas);
  }

  // Views.

  function getViewers() {
    if (viewers) return viewers;
    viewers = [new MeshViewer(plot, { wheelZoom: true }), new MeshViewer(secondPlot, { wheelZoom: true })];
    // Both show the same side.
    viewers.forEach((viewer, index) => viewer.canvas.addEventListener("viewchange", () => {
      const other = viewers[1 - index];
      if (["azimuth", "elevation", "distance"].every((key) => other.view[key] === viewer.view[key])) return;
      Object.assign(other.view, viewer.view);
      other.draw();
    }));
    return viewers;
  }

  // Two versions of a face are shown about the same centre, in the same size.
  function showMesh(viewer, mesh, { centre, halfWidth }) {
    const positions = mesh.positions.map((value, i) => value - centre[i % 3]);
    const part = { positions, indices: mesh.indices };
    if (byId("texture").checked) {
      part.colors = mesh.colors;
      part.light = PHOTO_LIGHT;
      const texture = makeTexture(mesh, current.image);
      if (texture) part.texture = texture;
    }
    viewer.show([part], halfWidth);
  }

  // Shows that a new face can be turned: it swings once to both sides, until somebody turns it.
  function present(viewer) {
    viewer.viewFrom(0);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const start = performance.now(), mark = (viewer.presentation = {});
    let expected = 0;
    const step = (now) => {
      const phase = Math.min(1, Math.max(0, now - start) / 2200);
      if (viewer.presentation !== mark || viewer.view.azimuth !== expected) return;
      expected = 28 * Math.sin(2 * Math.PI * phase) * (1 - phase);
      viewer.view.azimuth = expected;
      viewer.rotate(0, 0);
      expected = viewer.view.azimuth;
      if (phase < 1) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  async function showFace(face, isNew = false) {
    const request = ++lastRequest, shown = current;
    setError("");
    document.body.classList.add("busy");
    try {
      const mesh = await meshOf(shown, face, "served");
      const second = byId("compare").checked ? await meshOf(shown, face, "comparison") : null;
      if (request !== lastRequest) return;
      shown.face = face;
      byId("result").hidden = false;
      document.body.classList.add("has-result");
      byId("second-view").hidden = !second;
      const [one, other] = getViewers();
      const extent = MeshViewer.measure(mesh.positions);
      showMesh(one, mesh, extent);
      byId("plot-caption").textContent = mesh.model;
      if (second) {
        showMesh(other, second, extent);
        byId("second-caption").textContent = second.model;
      }
      if (isNew) present(one);
      showBoxes(mesh.detections, face);
      showFacts(mesh);
    } catch (error) {
      if (request === lastRequest) setError(error.message, error.problem?.reason);
      if (error.problem?.reason === "no-token") askForToken();
    } finally {
      if (request === lastRequest) {
        document.body.classList.remove("busy");
        setStatus("");
      }
    }
  }

  async function meshOf(shown, face, model) {
    const key = `${model} ${face}`;
    if (!shown.meshes.has(key)) shown.meshes.set(key, await reconstruct(shown.file, face, model));
    return shown.meshes.get(key);
  }

  function showBoxes(detections, selected) {
    const { width, height } = current.meshes.get(`served ${selected}`).photo;
    const buttons = detections.map(({ face, box: [left, top, w, h] }) => {
      const button = document.createElement("button"), number = document.createElement("span");
      button.type = "button";
      button.setAttribute("aria-pressed", String(face === selected));
      button.setAttribute("aria-label", `Face ${face} of ${detections.length}`);
      Object.assign(button.style, {
        left: `${100 * left / width}%`, top: `${100 * top / height}%`,
        width: `${100 * w / width}%`, height: `${100 * h / height}%`,
      });
      if (detections.length > 1) { number.textContent = face; button.append(number); }
      button.addEventListener("click", () => showFace(face, true));
      return button;
    });
    const hadFocus = byId("boxes").contains(document.activeElement);
    byId("boxes").replaceChildren(...buttons);
    if (hadFocus) buttons[selected - 1].focus();
    byId("faces-note").textContent = detections.length > 1
      ? `${detections.length} faces: choose one in the photo.` : "";
  }

  function showFacts(mesh) {
    const degrees = (value) => `${Math.round(value)}°`.replace("-", "−");
    const facts = {
      Model: mesh.model,
      Mesh: `${(mesh.positions.length / 3).toLocaleString("en")} vertices, ${(mesh.indices.length / 3).toLocaleString("en")} triangles`,
      Pose: mesh.pose ? `yaw ${degrees(mesh.pose.yaw_deg)}, pitch ${degrees(mesh.pose.pitch_deg)}, roll ${degrees(mesh.pose.roll_deg)}` : "unknown",
      Time: `${mesh.seconds.toFixed(2)} s`,
    };
    byId("facts").replaceChildren(...Object.entries(facts).flatMap(([name, value]) => {
      const term = document.createElement("dt"), text = document.createElement("dd");
      term.textContent = name;
      text.textContent = value;
      return [term, text];
    }));
  }

  // Photos.

  async function open(file) {
    if (!file) return;
    if (file.size > SETTINGS.max_bytes) {
      setError(`This photo has ${megabytes(file.size)}; the service takes up to ${megabytes(SETTINGS.max_bytes)}. Save a smaller copy of it and try again.`, "too-large");
      return;
    }
    if (current?.url) URL.revokeObjectURL(current.url);
    const url = URL.createObjectURL(file);
    current = { file, url, meshes: new Map(), image: null };
    byId("result").hidden = true;
    document.body.classList.remove("has-result");
    setStatus("Sending the photo", 0);
    const shown = current;
    const [image] = await Promise.all([decode(file), null]);
    if (current !== shown) return;
    shown.image = image;
    // Some browsers do not show every kind of photo; the service may read it nevertheless.
    byId("photo").hidden = !image;
    if (image) byId("photo").src = url;
    await showFace(1, true);
  }

  async function decode(file) {
    try { return await createImageBitmap(file); } catch { return null; }
  }

  const megabytes = (bytes) => `${(bytes / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })} MB`;

  function setStatus(text, fraction = null) {
    byId("status").hidden = !text;
    byId("status-text").textContent = text;
    if (fraction === null) byId("progress").removeAttribute("value");
    else byId("progress").value = fraction;
  }

  function setError(text, reason = "") {
    byId("error").hidden = !text;
    byId("error").textContent = text;
    byId("error").dataset.reason = reason;
    if (text) setStatus("");
  }

  async function download(format) {
    try {
      const { face, meshes, file } = current, mesh = meshes.get(`served ${face}`);
      let blob, name;
      const stem = (file.name || "face").replace(/\.[^.]*$/, "");
      if (format === "glb") {
        blob = new Blob([mesh.glb], { type: "model/gltf-binary" });
        name = `${stem}.glb`;
      } else {
        setStatus("Preparing the download");
        const request = await post(file, { output: format, faces: face });
        blob = new Blob([request.response], { type: request.getResponseHeader("Content-Type") });
        name = format === "obj" ? `${stem}-obj.zip` : `${stem}.${format}`;
      }
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    } catch (error) {
      setError(error.message, error.problem?.reason);
    } finally {
      setStatus("");
    }
  }

  function askForToken() {
    byId("token-form").hidden = false;
    byId("token").focus();
  }

  // Controls.

  const drop = byId("drop"), input = byId("file");
  input.addEventListener("change", () => { open(input.files[0]); input.value = ""; });
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const name of ["dragleave", "drop"]) {
    document.addEventListener(name, (event) => { event.preventDefault(); drop.classList.remove("over"); });
  }
  document.addEventListener("drop", (event) => open(event.dataTransfer.files[0]));
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (file) open(file);
  });
  for (const button of document.querySelectorAll("[data-azimuth]")) {
    button.addEventListener("click", () => getViewers()[0].viewFrom(Number(button.dataset.azimuth)));
  }
  for (const button of document.querySelectorAll("[data-format]")) {
    button.addEventListener("click", () => download(button.dataset.format));
  }
  byId("texture").addEventListener("change", () => showFace(current.face));
  byId("compare").addEventListener("change", () => showFace(current.face));
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem("token", byId("token").value.trim());
    byId("token-form").hidden = true;
    if (current) showFace(1, true);
    listModels();
  });

  async function listModels() {
    const headers = SETTINGS.requires_token ? { Authorization: `Bearer ${sessionStorage.getItem("token") ?? ""}` } : {};
    try {
      const response = await fetch("v1/models", { headers });
      byId("compare-label").hidden = !response.ok || !("comparison" in await response.json());
    } catch { /* The service is told about when a photo is sent. */ }
  }

  if (SETTINGS.requires_token && !sessionStorage.getItem("token")) askForToken();
  else listModels();
})();
