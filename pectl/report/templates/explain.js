"use strict";
(() => {
  const slice = document.getElementById("slice"), strip = document.getElementById("strip");
  const where = document.getElementById("where"), slider = document.getElementById("index");
  const heatOn = document.getElementById("heat-on"), opacity = document.getElementById("opacity");
  const ranges = [...document.querySelectorAll(".range-button")];
  const n = SLICES.length, side = VIEWER.side, context = slice.getContext("2d", { willReadFrequently: true });
  const decoded = new Map();  // index -> Uint8ClampedArray of the packed slice
  const stops = [[178, 27, 43], [232, 96, 28], [246, 193, 65], [255, 247, 188]];
  const state = { index: VIEWER.hot[0], level: 100, width: 700 };

  async function unpack(index) {
    if (!decoded.has(index)) {
      const image = new Image();
      image.src = SLICES[index];
      await image.decode();
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = side;
      const plain = canvas.getContext("2d", { willReadFrequently: true });
      plain.drawImage(image, 0, 0);
      decoded.set(index, plain.getImageData(0, 0, side, side).data);
    }
    return decoded.get(index);
  }

  function colour(heat) {
    const place = heat * (stops.length - 1), low = Math.min(stops.length - 2, Math.floor(place));
    return stops[low].map((value, k) => value + (stops[low + 1][k] - value) * (place - low));
  }
  const colours = Array.from({ length: 256 }, (_, heat) => colour(heat / 255));

  function paint(packed) {
    const picture = context.createImageData(side, side), out = picture.data;
    const lowest = state.level - state.width / 2, strength = heatOn.checked ? opacity.value / 100 : 0;
    for (let at = 0; at < packed.length; at += 4) {
      const hu = VIEWER.lowest + VIEWER.step * (4 * packed[at] + packed[at + 1]);
      const grey = 255 * Math.min(1, Math.max(0, (hu - lowest) / state.width));
      const alpha = strength * Math.min(1, Math.max(0, (packed[at + 2] / 255 - 0.08) / 0.52));
      const paintOf = colours[packed[at + 2]];
      for (let k = 0; k < 3; k++) out[at + k] = grey * (1 - alpha) + paintOf[k] * alpha;
      out[at + 3] = 255;
    }
    context.putImageData(picture, 0, 0);
  }

  async function show() {
    const index = state.index, packed = await unpack(index);
    if (index !== state.index) return;  // scrolled on meanwhile
    paint(packed);
    const label = { 1: "labelled PE", 0: "labelled without PE" }[VIEWER.label[index]] || "label unknown";
    where.textContent = `Slice ${index + 1} of ${n} · ${VIEWER.position[index].toFixed(1)} mm · ${label} · heat ${Math.round(100 * VIEWER.heat[index])} % of peak · ${VIEWER.sop[index]}`;
    slider.value = index;
    slice.dataset.index = index;
    drawStrip();
    for (const next of [index + 1, index - 1]) if (next >= 0 && next < n) unpack(next);
  }

  function go(index) {
    state.index = Math.min(n - 1, Math.max(0, index));
    return show();
  }

  function drawStrip() {
    const scale = window.devicePixelRatio || 1, box = strip.getBoundingClientRect();
    strip.width = box.width * scale; strip.height = box.height * scale;
    const pen = strip.getContext("2d"), row = strip.height / n, wide = strip.width;
    const columns = [
      ["label", 0.02, 0.14, (k) => ({ 1: "#D55E00", 0: "#e5e7eb" }[VIEWER.label[k]] || "#ffffff")],
      ["score", 0.2, 0.24, (k) => `rgba(0,114,178,${VIEWER.score[k]})`],
      ["attention", 0.48, 0.2, (k) => `rgba(170,68,153,${VIEWER.attention[k]})`],
    ];
    for (let k = 0; k < n; k++) {
      const top = (n - 1 - k) * row;  // head up
      for (const [, left, width, fill] of columns) {
        pen.fillStyle = fill(k);
        pen.fillRect(left * wide, top, width * wide, row + 0.5);
      }
      pen.fillStyle = "#e8601c";
      pen.fillRect(0.72 * wide, top, 0.26 * wide * VIEWER.heat[k], row + 0.5);
    }
    pen.strokeStyle = "#111827";
    pen.lineWidth = 2 * scale;
    pen.strokeRect(scale, (n - 1 - state.index) * row, wide - 2 * scale, Math.max(row, 3 * scale));
  }

  function pick(event) {
    const box = strip.getBoundingClientRect();
    go(n - 1 - Math.floor(((event.clientY - box.top) / box.height) * n));
  }

  function choose(button) {
    state.level = Number(button.dataset.level);
    state.width = Number(button.dataset.width);
    for (const other of ranges) other.setAttribute("aria-pressed", String(other === button));
    show();
  }

  function nextHot() {
    const at = VIEWER.hot.indexOf(state.index);
    go(VIEWER.hot[(at + 1) % VIEWER.hot.length]);
  }

  const keys = {
    ArrowUp: () => go(state.index + 1), ArrowDown: () => go(state.index - 1),
    PageUp: () => go(state.index + 10), PageDown: () => go(state.index - 10),
    Home: () => go(n - 1), End: () => go(0), n: nextHot,
    h: () => { heatOn.checked = !heatOn.checked; show(); },
    1: () => choose(ranges[0]), 2: () => choose(ranges[1]), 3: () => choose(ranges[2]),
  };
  document.addEventListener("keydown", (event) => {
    if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  let turned = 0;
  slice.addEventListener("wheel", (event) => {
    event.preventDefault();
    turned += event.deltaMode ? event.deltaY * 30 : event.deltaY;
    const steps = Math.trunc(turned / 30);
    turned -= steps * 30;
    if (steps) go(state.index - steps);
  }, { passive: false });
  let grip = null;
  slice.addEventListener("pointerdown", (event) => { grip = [event.clientY, state.index]; slice.setPointerCapture(event.pointerId); });
  slice.addEventListener("pointermove", (event) => { if (grip) go(grip[1] + Math.round((grip[0] - event.clientY) / 5)); });
  for (const end of ["pointerup", "pointercancel"]) slice.addEventListener(end, () => { grip = null; });
  strip.addEventListener("pointerdown", (event) => { strip.setPointerCapture(event.pointerId); pick(event); });
  strip.addEventListener("pointermove", (event) => { if (event.buttons) pick(event); });
  slider.addEventListener("input", () => go(Number(slider.value)));
  heatOn.addEventListener("change", show);
  opacity.addEventListener("input", show);
  for (const button of ranges) button.addEventListener("click", () => choose(button));
  for (const index of VIEWER.hot) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${index + 1}`;
    button.setAttribute("aria-label", `Go to slice ${index + 1}`);
    button.addEventListener("click", () => go(index));
    document.getElementById("hot").append(button);
  }
  window.addEventListener("resize", drawStrip);
  show();
})();
