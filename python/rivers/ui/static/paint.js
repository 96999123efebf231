// Paints the cells of a map on its canvas, with their keys, the selection and the cursor.
import { visible } from "./dom.js";

const MAX_ROW = 22;
const MARKED_CELL = 8;
export const WRAP_CELL = 28;
export const MAX_HEIGHT = 440;

/** @typedef {import("./map.js").GridMap} GridMap */

/**
 * Paints a map, and keeps where its cells are.
 * @param {GridMap} map
 */
export function paint(map) {
  const { data, canvas } = map;
  const space = canvas.parentElement.clientWidth;
  const left = map.margin();
  const top = map.columnKeys.length ? 20 : 0;
  const wraps = data.per_row === 0;
  const pitch = wraps ? Math.min(space / data.width, WRAP_CELL) : (space - left) / data.width;
  const line = wraps ? pitch : Math.max(Math.min(MAX_HEIGHT / data.height, MAX_ROW), 4);
  const height = Math.ceil(top + line * data.height);
  const scale = window.devicePixelRatio || 1;
  canvas.style.setProperty("height", `${height}px`);
  canvas.width = Math.round(space * scale);
  canvas.height = Math.round(height * scale);
  map.place = { left, top, pitch, line };
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const gap = Math.min(pitch, line) >= 6 ? 1 : 0;
  const isMarked = gap > 0 && Math.min(pitch, line) >= MARKED_CELL;
  context.putImageData(pixels(map, context, style, scale, gap, isMarked), 0, 0);
  context.setTransform(scale, 0, 0, scale, 0, 0);
  if (isMarked) drawSigns(map, context);
  drawKeys(map, context, style, space);
  drawSelection(map, context, style.getPropertyValue("--accent"));
}

/**
 * The cells as pixels.
 * @param {GridMap} map @param {CanvasRenderingContext2D} context @param {CSSStyleDeclaration} style
 */
function pixels(map, context, style, scale = 1, gap = 0, isMarked = false) {
  const { data, place: { left, top, pitch, line } } = map;
  const { bytes, width, height, states } = data;
  const image = context.createImageData(map.canvas.width, map.canvas.height);
  const words = new Uint32Array(image.data.buffer);
  const colour = (name = "") => [1, 3, 5].map((at) => parseInt(style.getPropertyValue(`--${name}`).trim().slice(at, at + 2), 16));
  const mix = (/** @type {number[]} */ from, /** @type {number[]} */ over, share = 1) => from.map((value, at) => value + (over[at] - value) * share);
  const word = (/** @type {number[]} */ [red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  const [done, blank, card] = ["completed", "pending", "card"].map(colour);
  const only = map.error ? states.indexOf("failed") : -1;
  /** The colour of a cell, that of the lines over it, and how they slant. */
  const look = (state = 0, share = 0, ended = 0) => {
    const name = states[state];
    const isLeft = only >= 0 && state !== only;
    const waits = WAITS.has(name);
    let own = waits || isLeft ? blank : ENDED_WELL.has(name) ? done : card;
    if (waits && ended && only < 0) own = mix(own, done, 0.3 + (0.7 * ended) / 255);
    if (!isLeft && (!waits || RUNS.has(name))) own = mix(own, colour(name), share === 255 ? 1 : 0.5 + (0.5 * share) / 255);
    return { plain: word(own), lined: word(mix(own, WHITE, 0.5)), slant: isMarked || isLeft ? undefined : LINES.get(name) };
  };
  /** @type {Map<number, ReturnType<typeof look>>} */
  const looks = new Map();
  const edge = (value = 0) => Math.round(value * scale);
  const period = 4 * Math.round(scale);
  for (let row = 0; row < height; row += 1) {
    const y0 = edge(top + row * line);
    const y1 = Math.max(edge(top + (row + 1) * line - gap), y0 + 1);
    for (let column = 0; column < width;) {
      const at = 3 * (row * width + column);
      const cell = (bytes[at] << 16) | (bytes[at + 1] << 8) | bytes[at + 2];
      let next = column + 1;
      // Equal neighbours are painted as one where nothing separates them.
      if (!gap) for (let there = at + 3; next < width && ((bytes[there] << 16) | (bytes[there + 1] << 8) | bytes[there + 2]) === cell; there += 3) next += 1;
      if (bytes[at] !== 255) {
        let own = looks.get(cell);
        if (!own) looks.set(cell, (own = look(bytes[at], bytes[at + 1], bytes[at + 2])));
        const { plain, lined, slant } = own;
        const x0 = edge(left + column * pitch);
        const x1 = Math.max(edge(left + next * pitch - gap), x0 + 1);
        for (let y = y0; y < y1; y += 1) {
          const start = y * image.width;
          words.fill(plain, start + x0, start + x1);
          if (slant !== undefined) for (let x = x0; x < x1; x += 1) if ((y + slant * x) % period < scale) words[start + x] = lined;
        }
      }
      column = next;
    }
  }
  return image;
}

/**
 * The signs of states, which do not need colours, where cells have room for them.
 * @param {GridMap} map @param {CanvasRenderingContext2D} context
 */
function drawSigns(map, context) {
  const { data, place: { left, top, pitch, line } } = map;
  const size = Math.min(pitch - 1, line - 1, 14) * 0.27;
  const all = new Path2D();
  for (let at = 0; at < data.width * data.height; at += 1) {
    const name = data.states[data.bytes[3 * at]];
    const sign = map.error && name !== "failed" ? undefined : SIGNS.get(name);
    if (sign) all.addPath(sign, new DOMMatrix([size, 0, 0, size, left + ((at % data.width) + 0.5) * pitch - 0.5, top + (Math.floor(at / data.width) + 0.5) * line - 0.5]));
  }
  context.strokeStyle = "#fff";
  context.lineWidth = 1.4;
  context.stroke(all);
}

/** @param {GridMap} map @param {CanvasRenderingContext2D} context @param {CSSStyleDeclaration} style @param {number} space */
function drawKeys(map, context, style, space) {
  const { left, top, pitch, line } = map.place;
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = style.getPropertyValue("--soft").trim();
  context.textBaseline = "middle";
  if (map.data.per_row === 0) {
    // One dimension, in lines: its first and its last key.
    const [first = "", last = first] = map.columnKeys;
    context.textAlign = "left";
    context.fillText(visible(first === last ? first : `${first} … ${last}`), 0, 8);
    return;
  }
  context.textAlign = "right";
  map.rowKeys.forEach((key, index) => {
    context.fillText(fit(context, key, left - 12), left - 8, top + (index * map.rowStep + 0.5) * line);
  });
  context.textAlign = "left";
  let free = 0;
  map.columnKeys.forEach((key, index) => {
    const x = left + index * map.columnStep * pitch;
    const { width } = context.measureText(visible(key));
    if (x >= free && x + width <= space) {
      context.fillText(visible(key), x, 8);
      free = x + width + 12;
    }
  });
}

/** @param {GridMap} map @param {CanvasRenderingContext2D} context @param {string} accent */
function drawSelection(map, context, accent) {
  const { data: { width, per_row: perRow }, place: { left, top, pitch, line } } = map;
  context.strokeStyle = accent;
  context.fillStyle = accent;
  context.lineWidth = 2;
  const draw = (x0 = 0, y0 = 0, x1 = 0, y1 = 0) => {
    const box = /** @type {const} */ ([left + x0 * pitch, top + y0 * line, (x1 + 1 - x0) * pitch, (y1 + 1 - y0) * line]);
    context.globalAlpha = 0.18;
    context.fillRect(...box);
    context.globalAlpha = 1;
    context.strokeRect(...box);
  };
  if (map.selection) {
    const [[x0, y0], [x1, y1]] = map.selection;
    if (perRow) draw(Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1));
    else {
      // Where the cells continue row by row, so does the selection.
      const [first, last] = [y0 * width + x0, y1 * width + x1].sort((a, b) => a - b);
      for (let y = Math.floor(first / width); y * width <= last; y += 1) draw(Math.max(first - y * width, 0), y, Math.min(last - y * width, width - 1), y);
    }
  }
  if (map.cursor) {
    const [x, y] = map.cursor;
    context.strokeRect(left + x * pitch - 1, top + y * line - 1, Math.max(pitch, 3) + 2, Math.max(line, 3) + 2);
  }
}

/** The sign of a state around a middle. */
const SIGNS = new Map(Object.entries({
  failed: "M-1-1L1 1M1-1L-1 1", canceled: "M-1 0L1 0", running: "M-.7-1L1 0L-.7 1", in_progress: "M-.7-1L1 0L-.7 1",
  stale: "M0-1L0 .3M0 .8L0 1", skipped: "M-.5 0a.5.5 0 1 0 1 0a.5.5 0 1 0-1 0",
}).map(([state, path]) => [state, new Path2D(path)]));

/** How the lines over a state slant, where cells are too small for its sign. */
const LINES = new Map([["canceled", 0], ["failed", 1]]);
const WHITE = [255, 255, 255];
const RUNS = new Set(["running", "in_progress"]);
const WAITS = new Set(["pending", "missing", ...RUNS]);
const ENDED_WELL = new Set(["completed", "materialized", "skipped"]);

/**
 * A text that fits: of a longer one its end, in which keys differ.
 * @param {CanvasRenderingContext2D} context
 */
function fit(context, text = "", width = 0) {
  let shown = visible(text);
  for (let at = 1; at < text.length && context.measureText(shown).width > width; at += 1) shown = `…${text.slice(at)}`;
  return shown;
}
