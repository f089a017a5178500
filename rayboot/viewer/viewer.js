"use strict";
// A viewer of triangle meshes and points in WebGL, without a library.
//
// Coordinates have x to the right, y up and z towards the viewer. The view rotates about the origin:
// `azimuth` degrees about the vertical axis, `elevation` above the horizon, `distance` relative to
// the one that shows the whole scene. Mouse, touch and keyboard change it; so do rotate() and
// viewFrom(). A "viewchange" event of the canvas tells about each change.

const MeshViewer = (() => {
  const STEP_DEG = 10, MAX_ELEVATION_DEG = 85, MIN_DISTANCE = 0.3, MAX_DISTANCE = 3, ZOOM_STEP = 1.15;
  const FIELD_OF_VIEW_DEG = 32;
  const MAX_PIXEL_RATIO = 2;
  const KINDS = { i2: Int16Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };

  const VERTEX_SHADER = `#version 300 es
    in vec3 position; in vec3 normal; in vec3 color; in vec2 coordinate; in float weight;
    uniform mat4 projection; uniform mat4 view; uniform float pointSize;
    out vec3 vNormal; out vec3 vColor; out vec2 vCoordinate; out float vWeight;
    void main() {
      vec4 seen = view * vec4(position, 1.0);
      gl_Position = projection * seen;
      gl_PointSize = pointSize;
      vNormal = mat3(view) * normal;
      vColor = color; vCoordinate = coordinate; vWeight = weight;
    }`;

  const FRAGMENT_SHADER = `#version 300 es
    precision highp float;
    in vec3 vNormal; in vec3 vColor; in vec2 vCoordinate; in float vWeight;
    uniform sampler2D image; uniform vec2 light; uniform float opacity; uniform bool isPoint;
    out vec4 result;
    void main() {
      vec3 base = mix(vColor, texture(image, vCoordinate).rgb, clamp(vWeight, 0.0, 1.0));
      if (isPoint) {
        float radius = length(gl_PointCoord - 0.5);
        if (radius > 0.5) discard;
        result = vec4(radius > 0.38 ? vec3(0.2) : base, 1.0);
        return;
      }
      vec3 facing = normalize(vNormal) * (gl_FrontFacing ? 1.0 : -1.0);
      float key = max(dot(facing, normalize(vec3(-0.45, 0.6, 0.75))), 0.0);
      float fill = max(dot(facing, normalize(vec3(0.7, 0.1, 0.6))), 0.0);
      result = vec4(base * (light.x + light.y * (0.8 * key + 0.3 * fill)), opacity);
    }`;

  function compile(gl, kind, source) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    return shader;
  }

  function link(gl) {
    const program = gl.createProgram();
    gl.attachShader(program, compile(gl, gl.VERTEX_SHADER, VERTEX_SHADER));
    gl.attachShader(program, compile(gl, gl.FRAGMENT_SHADER, FRAGMENT_SHADER));
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(`the 3D view cannot be drawn: ${gl.getProgramInfoLog(program)}`);
    }
    return program;
  }

  // Area-weighted normals of the vertices.
  function computeNormals(positions, indices) {
    const normals = new Float32Array(positions.length);
    for (let t = 0; t < indices.length; t += 3) {
      const [a, b, c] = [3 * indices[t], 3 * indices[t + 1], 3 * indices[t + 2]];
      const ux = positions[b] - positions[a], uy = positions[b + 1] - positions[a + 1];
      const uz = positions[b + 2] - positions[a + 2], vx = positions[c] - positions[a];
      const vy = positions[c + 1] - positions[a + 1], vz = positions[c + 2] - positions[a + 2];
      const nx = uy * vz - uz * vy, ny = uz * vx - ux * vz, nz = ux * vy - uy * vx;
      for (const corner of [a, b, c]) {
        normals[corner] += nx; normals[corner + 1] += ny; normals[corner + 2] += nz;
      }
    }
    for (let i = 0; i < normals.length; i += 3) {
      const length = Math.hypot(normals[i], normals[i + 1], normals[i + 2]) || 1;
      normals[i] /= length; normals[i + 1] /= length; normals[i + 2] /= length;
    }
    return normals;
  }

  // Share of the photo at each vertex: none where it is hidden, or steep as along the outline.
  function findVisible(positions, indices, size) {
    const count = positions.length / 3, front = new Float32Array(size * size).fill(-Infinity);
    const cell = (i) => {
      const column = Math.round(positions[3 * i] + (size - 1) / 2);
      const row = Math.round((size - 1) / 2 - positions[3 * i + 1]);
      return Math.max(0, Math.min(size - 1, row)) * size + Math.max(0, Math.min(size - 1, column));
    };
    for (let i = 0; i < count; i++) front[cell(i)] = Math.max(front[cell(i)], positions[3 * i + 2]);
    const facing = new Float32Array(count), total = new Float32Array(count);
    for (let t = 0; t < indices.length; t += 3) {
      const [a, b, c] = [indices[t], indices[t + 1], indices[t + 2]].map((i) => 3 * i);
      const ux = positions[b] - positions[a], uy = positions[b + 1] - positions[a + 1], uz = positions[b + 2] - positions[a + 2];
      const vx = positions[c] - positions[a], vy = positions[c + 1] - positions[a + 1], vz = positions[c + 2] - positions[a + 2];
      const n = [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx], length = Math.hypot(...n);
      for (const i of [indices[t], indices[t + 1], indices[t + 2]]) { facing[i] += n[2]; total[i] += length; }
    }
    const weights = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      const slope = Math.max(0, Math.min(1, (facing[i] / (total[i] || 1) - 0.2) / 0.25));
      weights[i] = front[cell(i)] - positions[3 * i + 2] < 2.5 ? slope * slope * (3 - 2 * slope) : 0;
    }
    return weights;
  }

  class MeshViewer {
    // Throws an Error where the browser has no WebGL. `wheelZoom`: whether the wheel zooms: true,
    // false, or "with-key" if Ctrl or Shift is held.
    constructor(canvas, { wheelZoom = false } = {}) {
      this.canvas = canvas;
      this.view = { azimuth: 0, elevation: 0, distance: 1 };
      this.halfWidth = 1;
      this.scene = [];
      this.parts = [];
      this.gl = canvas.getContext("webgl2", { antialias: true, alpha: true });
      if (!this.gl) throw new Error("this browser shows no 3D views (WebGL 2 is missing or off)");
      this.prepare();
      canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
      canvas.addEventListener("webglcontextrestored", () => { this.prepare(); this.upload(); });
      this.listen(wheelZoom);
      new ResizeObserver(() => this.draw()).observe(canvas);
      canvas.viewer = this;
    }

    // Shows other shapes; the view stays.
    //
    // Each part has `positions` (Float32Array, xyz), `indices` (of triangles; without, its vertices
    // are points), `colors` (Uint8Array, sRGB of each vertex) or `color` ([r, g, b], 0 to 255), and
    // optionally `opacity`, `pointSize` in CSS pixels, `light` ([ambient, diffuse]) and `texture`:
    // an `image`, `coordinates` (Float32Array, from its upper left corner, 0 to 1) and `weights`
    // (Float32Array), the share of the texture in the colour of each vertex.
    show(parts, halfWidth) {
      this.halfWidth = halfWidth;
      this.scene = parts;
      this.upload();
    }

    prepare() {
      const gl = this.gl;
      this.program = link(gl);
      this.uniforms = Object.fromEntries(
        ["projection", "view", "pointSize", "image", "light", "opacity", "isPoint"].map(
          (name) => [name, gl.getUniformLocation(this.program, name)]));
      this.parts = [];
    }

    upload() {
      for (const part of this.parts) this.release(part);
      this.parts = this.scene.map((part) => this.uploadPart(part));
      this.draw();
    }

    release({ array, buffers, texture }) {
      this.gl.deleteVertexArray(array);
      for (const buffer of buffers) this.gl.deleteBuffer(buffer);
      this.gl.deleteTexture(texture);
    }

    uploadPart(part) {
      const gl = this.gl, buffers = [], array = gl.createVertexArray();
      gl.bindVertexArray(array);
      const attribute = (name, values, size, normalized = false) => {
        const location = gl.getAttribLocation(this.program, name);
        if (location < 0) return;
        if (!values) { gl.disableVertexAttribArray(location); return; }
        const kind = values instanceof Uint8Array ? gl.UNSIGNED_BYTE : gl.FLOAT;
        const buffer = gl.createBuffer();
        buffers.push(buffer);
        gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
        gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
        gl.enableVertexAttribArray(location);
        gl.vertexAttribPointer(location, size, kind, normalized, 0, 0);
      };
      attribute("position", part.positions, 3);
      attribute("normal", part.indices ? computeNormals(part.positions, part.indices) : null, 3);
      attribute("color", part.colors, 3, true);
      attribute("coordinate", part.texture?.coordinates, 2);
      attribute("weight", part.texture?.weights, 1);
      if (part.indices) {
        const buffer = gl.createBuffer();
        buffers.push(buffer);
        gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffer);
        gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, new Uint32Array(part.indices), gl.STATIC_DRAW);
      }
      gl.bindVertexArray(null);
      return { part, array, buffers, texture: this.uploadTexture(part.texture?.image) };
    }

    uploadTexture(image) {
      const gl = this.gl, texture = gl.createTexture();
      gl.bindTexture(gl.TEXTURE_2D, texture);
      if (image) {
        gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, image);
        gl.generateMipmap(gl.TEXTURE_2D);
        gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
      } else {
        gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 1, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE,
          new Uint8Array([255, 255, 255, 255]));
        gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
      }
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
      return texture;
    }

    // Draws with the next frame.
    draw() {
      if (this.frame) return;
      this.frame = requestAnimationFrame(() => { this.frame = 0; this.drawNow(); });
    }

    drawNow() {
      const { gl, canvas } = this;
      if (gl.isContextLost() || !canvas.clientWidth || !canvas.clientHeight) return;
      const ratio = Math.min(window.devicePixelRatio || 1, MAX_PIXEL_RATIO);
      const width = Math.round(canvas.clientWidth * ratio);
      const height = Math.round(canvas.clientHeight * ratio);
      if (canvas.width !== width || canvas.height !== height) {
        canvas.width = width;
        canvas.height = height;
      }
      gl.viewport(0, 0, width, height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      gl.enable(gl.DEPTH_TEST);
      gl.useProgram(this.program);
      gl.uniformMatrix4fv(this.uniforms.projection, false, this.projectionMatrix(width / height));
      gl.uniformMatrix4fv(this.uniforms.view, false, this.viewMatrix());
      gl.uniform1i(this.uniforms.image, 0);
      const isOpaque = ({ part }) => (part.opacity ?? 1) === 1;
      for (const part of this.parts.filter(isOpaque)) this.drawPart(part, ratio);
      gl.enable(gl.BLEND);
      gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
      gl.depthMask(false);
      // Of a translucent solid the front alone is seen.
      gl.enable(gl.CULL_FACE);
      for (const part of this.parts.filter((part) => !isOpaque(part))) this.drawPart(part, ratio);
      gl.disable(gl.CULL_FACE);
      gl.depthMask(true);
      gl.disable(gl.BLEND);
    }

    drawPart({ part, array, texture }, ratio) {
      const { gl, uniforms, program } = this;
      const [r, g, b] = part.color ?? [200, 196, 190];
      gl.bindVertexArray(array);
      const color = gl.getAttribLocation(program, "color");
      if (color >= 0 && !part.colors) gl.vertexAttrib3f(color, r / 255, g / 255, b / 255);
      const weight = gl.getAttribLocation(program, "weight");
      if (weight >= 0 && !part.texture) gl.vertexAttrib1f(weight, 0);
      gl.activeTexture(gl.TEXTURE0);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.uniform2f(uniforms.light, ...(part.light ?? [0.42, 0.62]));
      gl.uniform1f(uniforms.opacity, part.opacity ?? 1);
      gl.uniform1f(uniforms.pointSize, (part.pointSize ?? 6) * ratio);
      gl.uniform1i(uniforms.isPoint, part.indices ? 0 : 1);
      if (part.indices) gl.drawElements(gl.TRIANGLES, part.indices.length, gl.UNSIGNED_INT, 0);
      else gl.drawArrays(gl.POINTS, 0, part.positions.length / 3);
      gl.bindVertexArray(null);
    }

    // Distance of the camera at which the sphere around the scene's cube fills the view.
    cameraDistance() {
      return 1.12 * this.halfWidth / Math.sin(FIELD_OF_VIEW_DEG * Math.PI / 360);
    }

    projectionMatrix(aspect) {
      const near = 0.05 * this.cameraDistance(), far = 6 * this.cameraDistance();
      // The shorter side has the field of view.
      const f = 1 / Math.tan(FIELD_OF_VIEW_DEG * Math.PI / 360) * Math.min(1, aspect);
      return new Float32Array([
        f / aspect, 0, 0, 0, 0, f, 0, 0,
        0, 0, (far + near) / (near - far), -1, 0, 0, 2 * far * near / (near - far), 0,
      ]);
    }

    viewMatrix() {
      const azimuth = this.view.azimuth * Math.PI / 180, elevation = this.view.elevation * Math.PI / 180;
      const [ca, sa, ce, se] =
        [Math.cos(azimuth), Math.sin(azimuth), Math.cos(elevation), Math.sin(elevation)];
      // Columns; the scene rotates against the camera.
      return new Float32Array([
        ca, -se * -sa, ce * sa, 0,
        0, ce, se, 0,
        -sa, -se * ca, ce * ca, 0,
        0, 0, -this.cameraDistance() * this.view.distance, 1,
      ]);
    }

    rotate(azimuth, elevation, zoom = 1) {
      const { view } = this;
      view.azimuth = (view.azimuth + azimuth + 540) % 360 - 180;
      const limited = Math.min(MAX_ELEVATION_DEG, view.elevation + elevation);
      view.elevation = Math.max(-MAX_ELEVATION_DEG, limited);
      view.distance = Math.max(MIN_DISTANCE, Math.min(MAX_DISTANCE, view.distance * zoom));
      this.canvas.dispatchEvent(new Event("viewchange"));
      this.draw();
    }

    viewFrom(azimuth) {
      Object.assign(this.view, { azimuth, elevation: 0, distance: 1 });
      this.rotate(0, 0);
    }

    listen(wheelZoom) {
      const { canvas } = this, pointers = new Map();
      const keys = {
        // The shape rotates as if it were dragged in that direction, so the camera moves the other way.
        ArrowLeft: () => this.rotate(STEP_DEG, 0), ArrowRight: () => this.rotate(-STEP_DEG, 0),
        ArrowUp: () => this.rotate(0, -STEP_DEG), ArrowDown: () => this.rotate(0, STEP_DEG),
        "+": () => this.rotate(0, 0, 1 / ZOOM_STEP), "=": () => this.rotate(0, 0, 1 / ZOOM_STEP),
        "-": () => this.rotate(0, 0, ZOOM_STEP), 0: () => this.viewFrom(0),
      };
      canvas.addEventListener("keydown", (event) => {
        const action = keys[event.key];
        if (!action || event.ctrlKey || event.altKey || event.metaKey) return;
        event.preventDefault();
        action();
      });
      canvas.addEventListener("pointerdown", (event) => {
        if (event.button) return;
        pointers.set(event.pointerId, event);
        try { canvas.setPointerCapture(event.pointerId); } catch { /* The pointer has gone. */ }
      });
      canvas.addEventListener("pointermove", (event) => {
        const before = pointers.get(event.pointerId);
        if (!before) return;
        const spread = () => {
          const [a, b] = [...pointers.values()];
          return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) || 1;
        };
        const spreadBefore = pointers.size === 2 ? spread() : 0;
        pointers.set(event.pointerId, event);
        if (pointers.size === 2) { this.rotate(0, 0, spreadBefore / spread()); return; }
        // The height of the view is half a turn.
        const degrees = 180 / canvas.clientHeight;
        this.rotate(-degrees * (event.clientX - before.clientX), degrees * (event.clientY - before.clientY));
      });
      for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
        canvas.addEventListener(name, (event) => pointers.delete(event.pointerId));
      }
      if (!wheelZoom) return;
      canvas.addEventListener("wheel", (event) => {
        // In a frame of a notebook the wheel alone scrolls the notebook.
        if (wheelZoom === "with-key" && !event.ctrlKey && !event.shiftKey) return;
        event.preventDefault();
        const step = (event.deltaY || event.deltaX) / 500;
        this.rotate(0, 0, Math.exp(Math.max(-0.2, Math.min(0.2, step))));
      }, { passive: false });
    }

    // Array of numbers that rayboot.viewer.pack_array has packed.
    static unpack({ kind, bytes }) {
      return new KINDS[kind](Uint8Array.from(atob(bytes), (character) => character.charCodeAt(0)).buffer);
    }

    // Centre of a mesh, and half the width of the cube that it fills as it turns.
    static measure(positions) {
      const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
      positions.forEach((value, i) => {
        low[i % 3] = Math.min(low[i % 3], value);
        high[i % 3] = Math.max(high[i % 3], value);
      });
      const centre = low.map((value, axis) => (value + high[axis]) / 2);
      const half = low.map((value, axis) => (high[axis] - value) / 2);
      return { centre, halfWidth: 1.05 * Math.max(half[1], Math.hypot(half[0], half[2])) };
    }

    // Texture of a mesh in the frame of its crop, `size` px wide, from an image of that crop in any
    // resolution.
    static photoTexture({ positions, indices }, size, image) {
      const count = positions.length / 3, coordinates = new Float32Array(2 * count);
      for (let i = 0; i < count; i++) {
        coordinates[2 * i] = positions[3 * i] / size + 0.5;
        coordinates[2 * i + 1] = 0.5 - positions[3 * i + 1] / size;
      }
      return { image, coordinates, weights: findVisible(positions, indices, size) };
    }
  }

  return MeshViewer;
})();
