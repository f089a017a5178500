"use strict";
// Shows one mesh, which is packed as rayboot.render.viewer.pack_mesh writes it. Angles in degrees.

(() => {
  const STEP = 10, MAX_ELEVATION = 85, MIN_ZOOM = 0.4, MAX_ZOOM = 8;
  const [canvas, message, photo] =
    ["canvas", ".message", "input"].map((selector) => document.querySelector(selector));
  const mesh = JSON.parse(document.getElementById("mesh").textContent);
  const view = { azimuth: 0, elevation: 0, zoom: 1 };
  let scene = null, isQueued = false;

  const VERTEX = `#version 300 es
    in vec3 position, normal, color;
    uniform mat3 rotation;
    uniform vec2 scale;
    centroid out vec3 shade_normal, shade_color;
    void main() {
      vec3 turned = rotation * position;
      shade_normal = rotation * normal;
      shade_color = color;
      // The camera is orthographic, as the one of the crops. Depth grows away from the viewer.
      gl_Position = vec4(turned.xy * scale, -0.5 * turned.z, 1.0);
    }`;
  const FRAGMENT = `#version 300 es
    precision mediump float;
    centroid in vec3 shade_normal, shade_color;
    uniform bool is_plain;
    out vec4 shown;
    void main() {
      vec3 normal = normalize(shade_normal);
      float light = 0.35 + 0.65 * max(0.0, dot(normal, normalize(vec3(-0.4, 0.5, 0.8))));
      // The colours of the photo contain its light; a little more keeps the shape visible.
      float soft = 0.8 + 0.2 * max(0.0, normal.z);
      shown = vec4(is_plain ? vec3(0.80, 0.78, 0.75) * light : shade_color * soft, 1.0);
    }`;

  function unpack(text, type) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    return new type(bytes.buffer);
  }

  function computeNormals(positions, indices) {
    const normals = new Float32Array(positions.length);
    for (let start = 0; start < indices.length; start += 3) {
      const [a, b, c] = [0, 1, 2].map((corner) => 3 * indices[start + corner]);
      const u = [0, 1, 2].map((axis) => positions[b + axis] - positions[a + axis]);
      const v = [0, 1, 2].map((axis) => positions[c + axis] - positions[a + axis]);
      const cross = [
        u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0],
      ];
      for (const corner of [a, b, c]) {
        for (let axis = 0; axis < 3; axis++) normals[corner + axis] += cross[axis];
      }
    }
    return normals;
  }

  function compile(gl, kind, text) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    return shader;
  }

  function build() {
    const gl = canvas.getContext("webgl2", { antialias: true, alpha: true });
    if (!gl) {
      message.textContent = "This browser cannot draw 3D (WebGL 2 is missing or switched off).";
      message.hidden = false;
      return null;
    }
    const packed = unpack(mesh.positions, Int16Array), indices = unpack(mesh.indices, Uint32Array);
    const positions = Float32Array.from(packed, (value) => value / 32000);
    const colors = mesh.colors ? unpack(mesh.colors, Uint8Array)
      : new Uint8Array(positions.length).fill(204);
    const program = gl.createProgram();
    gl.attachShader(program, compile(gl, gl.VERTEX_SHADER, VERTEX));
    gl.attachShader(program, compile(gl, gl.FRAGMENT_SHADER, FRAGMENT));
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
      throw new Error(gl.getProgramInfoLog(program) || "the shaders cannot be linked");
    }
    gl.useProgram(program);
    const attribute = (name, values, type, isNormalized) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
      const place = gl.getAttribLocation(program, name);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, 3, type, isNormalized, 0, 0);
    };
    attribute("position", positions, gl.FLOAT, false);
    attribute("normal", computeNormals(positions, indices), gl.FLOAT, false);
    attribute("color", colors, gl.UNSIGNED_BYTE, true);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, indices, gl.STATIC_DRAW);
    gl.enable(gl.DEPTH_TEST);
    const places = Object.fromEntries(["rotation", "scale", "is_plain"].map(
      (name) => [name, gl.getUniformLocation(program, name)]));
    return { gl, places, count: indices.length };
  }

  function rotation() {
    const [azimuth, elevation] = [view.azimuth, view.elevation].map((angle) => angle * Math.PI / 180);
    const [ca, sa, ce, se] =
      [Math.cos(azimuth), Math.sin(azimuth), Math.cos(elevation), Math.sin(elevation)];
    // Column by column: first about the vertical axis, then about the horizontal one.
    return [ca, se * sa, -ce * sa, 0, ce, se, sa, -se * ca, ce * ca];
  }

  function draw() {
    isQueued = false;
    if (!scene) return;
    const { gl, places, count } = scene;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] =
      [canvas.clientWidth, canvas.clientHeight].map((length) => Math.max(1, Math.round(length * ratio)));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const side = Math.min(width, height), scale = 0.9 * view.zoom;
    gl.uniform2f(places.scale, scale * side / width, scale * side / height);
    gl.uniformMatrix3fv(places.rotation, false, rotation());
    gl.uniform1i(places.is_plain, photo.checked ? 0 : 1);
    gl.drawElements(gl.TRIANGLES, count, gl.UNSIGNED_INT, 0);
    // For those who test or embed the page.
    Object.assign(canvas.dataset, { azimuth: view.azimuth, elevation: view.elevation, zoom: view.zoom });
  }

  function queueDraw() {
    if (!isQueued) requestAnimationFrame(draw);
    isQueued = true;
  }

  const limited = (value, low, high) => Math.max(low, Math.min(high, value));

  function turn(azimuth, elevation, zoom = 1) {
    view.azimuth = (view.azimuth + azimuth + 540) % 360 - 180;
    view.elevation = limited(view.elevation + elevation, -MAX_ELEVATION, MAX_ELEVATION);
    view.zoom = limited(view.zoom * zoom, MIN_ZOOM, MAX_ZOOM);
    queueDraw();
  }

  function viewFrom(azimuth) {
    Object.assign(view, { azimuth, elevation: 0, zoom: 1 });
    queueDraw();
  }

  const KEYS = {
    ArrowLeft: () => turn(-STEP, 0), ArrowRight: () => turn(STEP, 0),
    ArrowUp: () => turn(0, -STEP), ArrowDown: () => turn(0, STEP),
    "+": () => turn(0, 0, 1.15), "=": () => turn(0, 0, 1.15), "-": () => turn(0, 0, 1 / 1.15),
    0: () => viewFrom(0),
  };
  canvas.addEventListener("keydown", (event) => {
    const action = KEYS[event.key];
    if (!action || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    action();
  });

  // One pointer turns, two zoom.
  const pointers = new Map();
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return Math.hypot(a.x - b.x, a.y - b.y);
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const before = pointers.size === 2 ? spread() : 0;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const degrees = 180 / Math.min(canvas.clientWidth, canvas.clientHeight);
    if (pointers.size === 1) {
      turn((event.clientX - last.x) * degrees, (event.clientY - last.y) * degrees);
    } else if (before > 0) {
      turn(0, 0, spread() / before);
    }
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => pointers.delete(event.pointerId));
  }
  // Without a key the wheel scrolls the notebook.
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    turn(0, 0, Math.exp(-(event.deltaY || event.deltaX) / 400));
  }, { passive: false });

  for (const button of document.querySelectorAll("button[data-azimuth]")) {
    button.addEventListener("click", () => viewFrom(Number(button.dataset.azimuth)));
  }
  if (!mesh.colors) photo.closest("label").hidden = true;
  photo.addEventListener("change", queueDraw);
  new ResizeObserver(queueDraw).observe(canvas);
  // Browsers take contexts away where a notebook shows many faces.
  canvas.addEventListener("webglcontextlost", (event) => { event.preventDefault(); scene = null; });
  canvas.addEventListener("webglcontextrestored", () => { scene = build(); queueDraw(); });
  scene = build();
  queueDraw();
})();
