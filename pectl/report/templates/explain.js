"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const slice = find("slice"), strip = find("strip"), where = find("where"), slider = find("index");
  const heatOn = find("heat-on"), opacity = find("opacity"), attention = find("attention");
  const ranges = [...document.querySelectorAll(".range-button")];
  const n = SLICES.length, side = VIEWER.side, context = slice.getContext("2d");
  const stops = [[178, 27, 43], [232, 96, 28], [246, 193, 65], [255, 247, 188]];
  const state = { index: VIEWER.hot[0], level: Number(ranges[0].dataset.level), width: Number(ranges[0].dataset.width) };
  const decoded = new Map(), mostDecoded = 120;  // index -> packed pixels, the latest last

  async function unpack(index) {
    const kept = decoded.get(index) || decode(index);
    decoded.delete(index);
    decoded.set(index, kept);
    if (decoded.size > mostDecoded) decoded.delete(decoded.keys().next().value);
    return kept;
  }

  async function decode(index) {
    const image = new Image();
    image.src = "data:image/png;base64," + SLICES[index];
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = side;
    const plain = canvas.getContext("2d", { willReadFrequently: true });
    plain.drawImage(image, 0, 0);
    return plain.getImageData(0, 0, side, side).data;
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

  function markPeak() {
    if (!heatOn.checked || !VIEWER.peak || VIEWER.peak[0] !== state.index) return;
    context.strokeStyle = "#56b4e9";
    context.lineWidth = side / 160;
    context.beginPath();
    context.arc(VIEWER.peak[2] + 0.5, VIEWER.peak[1] + 0.5, side / 22, 0, 2 * Math.PI);
    context.stroke();
  }

  function describe(index) {
    const label = { 1: "labelled PE", 0: "labelled without PE" }[VIEWER.label[index]] || "label unknown";
    return `Slice ${index + 1} of ${n} · ${VIEWER.position[index].toFixed(1)} mm · ${label} · heat ${Math.round(100 * VIEWER.heat[index])} % of ${VIEWER.scale}`;
  }

  async function show() {
    const index = state.index, packed = await unpack(index);
    if (index !== state.index) return;  // scrolled on meanwhile
    paint(packed);
    markPeak();
    const text = describe(index);
    where.textContent = `${text} · ${VIEWER.sop[index]}`;
    slider.value = index + 1;
    slider.setAttribute("aria-valuetext", text);
    strip.setAttribute("aria-valuenow", index + 1);
    strip.setAttribute("aria-valuetext", text);
    slice.dataset.index = index;
    for (const button of find("hot").children) button.setAttribute("aria-current", String(Number(button.dataset.index) === index));
    drawStrip();
    for (const next of [index + 1, index - 1, index + 2, index - 2]) if (next >= 0 && next < n) unpack(next);
  }

  function go(index) {
    state.index = Math.min(n - 1, Math.max(0, index));
    return show();
  }

  function drawStrip() {
    const scale = window.devicePixelRatio || 1, box = strip.getBoundingClientRect();
    strip.width = box.width * scale;
    strip.height = box.height * scale;
    const pen = strip.getContext("2d"), row = strip.height / n, wide = strip.width, shown = VIEWER.attention[attention.value];
    const columns = [
      [0.02, 0.14, (k) => ({ 1: "#D55E00", 0: "#e5e7eb" }[VIEWER.label[k]] || "#ffffff")],
      [0.19, 0.24, (k) => `rgba(0,114,178,${VIEWER.score[k]})`],
      [0.45, 0.24, (k) => `rgba(170,68,153,${shown[k]})`],
    ];
    for (let k = 0; k < n; k++) {
      const top = Math.round((n - 1 - k) * row), high = Math.round((n - k) * row) - top;  // head up
      for (const [left, width, fill] of columns) {
        pen.fillStyle = fill(k);
        pen.fillRect(left * wide, top, width * wide, high);
      }
      pen.fillStyle = "#e8601c";
      pen.fillRect(0.71 * wide, top, 0.27 * wide * Math.min(1, VIEWER.heat[k]), high);
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

  function toggleHeat() {
    heatOn.checked = !heatOn.checked;
    show();
  }

  const keys = {
    ArrowUp: () => go(state.index + 1), ArrowRight: () => go(state.index + 1),
    ArrowDown: () => go(state.index - 1), ArrowLeft: () => go(state.index - 1),
    PageUp: () => go(state.index + 10), PageDown: () => go(state.index - 10),
    Home: () => go(n - 1), End: () => go(0), n: nextHot, h: toggleHeat,
    1: () => choose(ranges[0]), 2: () => choose(ranges[1]), 3: () => choose(ranges[2]),
  };
  find("viewer").addEventListener("keydown", (event) => {  // elsewhere keys scroll the page
    if (["INPUT", "SELECT"].includes(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });

  let turned = 0;
  slice.addEventListener("wheel", (event) => {
    if (event.ctrlKey) return;  // zoom
    event.preventDefault();
    turned += event.deltaMode ? event.deltaY * 30 : event.deltaY;
    const steps = Math.trunc(turned / 30);
    turned -= steps * 30;
    if (steps) go(state.index - steps);
  }, { passive: false });

  let grip = null;  // where a finger or the mouse took hold, and at which slice
  slice.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button) return;
    grip = [event.clientY, state.index];
    slice.setPointerCapture(event.pointerId);
  });
  slice.addEventListener("pointermove", (event) => {
    if (grip && event.isPrimary) go(grip[1] + Math.round((grip[0] - event.clientY) / 4));
  });
  for (const end of ["pointerup", "pointercancel"]) slice.addEventListener(end, () => { grip = null; });
  strip.addEventListener("pointerdown", (event) => { strip.setPointerCapture(event.pointerId); pick(event); });
  strip.addEventListener("pointermove", (event) => { if (event.buttons) pick(event); });

  slider.addEventListener("input", () => go(Number(slider.value) - 1));
  heatOn.addEventListener("change", show);
  opacity.addEventListener("input", show);
  attention.addEventListener("change", drawStrip);
  for (const button of ranges) button.addEventListener("click", () => choose(button));
  for (const index of VIEWER.hot) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${index + 1}`;
    button.dataset.index = index;
    button.setAttribute("aria-label", `Go to slice ${index + 1}`);
    button.addEventListener("click", () => go(index));
    find("hot").append(button);
  }
  window.addEventListener("resize", drawStrip);
  slice.focus({ preventScroll: true });
  show();
})();
