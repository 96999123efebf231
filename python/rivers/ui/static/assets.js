// The graph of assets, and one asset: its whole grid, and what is missing of it.
import * as api from "./api.js";
import { dialog, h, put, s, toast } from "./dom.js";
import { count, duration, tone } from "./format.js";
import { GridMap } from "./map.js";

/**
 * @param {HTMLElement} view
 * @param {any} page
 */
export async function list(view, { signal, info }) {
  if (!info.has_assets) {
    put(view, h("div", { class: "stack" }, h("h1", {}, "Assets"), h("p", { class: "empty" }, "The server knows no assets. Start it as: rivers ui MODULE")));
    return;
  }
  const assets = await api.get("/assets", {}, signal);
  put(view, h("div", { class: "stack" }, h("h1", {}, "Assets"), h("section", { class: "card graph" }, graph(assets)),
    h("section", { class: "card scroll" }, h("table", {},
      h("tr", {}, ["Asset", "Dimensions", "Depends on"].map((name) => h("th", {}, name)), h("th", { class: "num" }, "Partitions")),
      assets.map((/** @type {any} */ asset) => h("tr", {},
        h("td", {}, asset.num_partitions === null ? asset.name : h("a", { class: "link", href: `#/assets/${api.part(asset.name)}` }, asset.name)),
        h("td", { class: "muted" }, asset.dimensions.map((/** @type {any} */ own) => `${own.name} ${count(own.size)}`).join(" × ")),
        h("td", { class: "muted" }, asset.depends_on.join(", ")),
        h("td", { class: "num" }, asset.num_partitions === null ? "–" : count(asset.num_partitions))))))));
}

/**
 * Draws assets in columns by their depth.
 * @param {any[]} assets
 */
function graph(assets) {
  const byName = new Map(assets.map((asset) => [asset.name, asset]));
  const depths = new Map();
  const depth = (/** @type {string} */ name) => {
    if (!depths.has(name)) {
      depths.set(name, 0);
      depths.set(name, Math.max(-1, ...(byName.get(name)?.depends_on ?? []).filter((/** @type {string} */ up) => byName.has(up) && up !== name).map(depth)) + 1);
    }
    return depths.get(name);
  };
  /** @type {Map<string, [number, number]>} */
  const places = new Map();
  /** @type {number[]} */
  const used = [];
  for (const { name } of assets) {
    const column = depth(name);
    used[column] = (used[column] ?? 0) + 1;
    places.set(name, [column * 230 + 1, (used[column] - 1) * 66 + 1]);
  }
  const width = used.length * 230 - 40;
  const height = Math.max(...used, 1) * 66 - 14;
  const lines = assets.flatMap((asset) => asset.depends_on.filter((/** @type {string} */ up) => places.has(up) && up !== asset.name).map((/** @type {string} */ up) => {
    const [x0, y0] = /** @type {[number, number]} */ (places.get(up));
    const [x1, y1] = /** @type {[number, number]} */ (places.get(asset.name));
    return s("path", { d: `M${x0 + 180} ${y0 + 25}C${x0 + 206} ${y0 + 25} ${x1 - 26} ${y1 + 25} ${x1} ${y1 + 25}` });
  }));
  const short = (/** @type {string} */ text) => (text.length > 22 ? `${text.slice(0, 21)}…` : text);
  const boxes = assets.map((asset) => {
    const [x, y] = /** @type {[number, number]} */ (places.get(asset.name));
    const href = asset.num_partitions === null ? "#/assets" : `#/assets/${api.part(asset.name)}`;
    return s("a", { href }, s("rect", { x, y, width: 180, height: 50, rx: 9 }), s("text", { x: x + 13, y: y + 21 }, short(asset.name)),
      s("text", { x: x + 13, y: y + 38, class: "muted" }, asset.num_partitions === null ? asset.kind : `${count(asset.num_partitions)} partitions`));
  });
  return s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Graph of assets" }, lines, boxes);
}

/**
 * @param {HTMLElement} view
 * @param {any} page
 */
export async function one(view, page) {
  const { signal, info } = page;
  const name = page.path[1];
  const path = `/assets/${api.part(name)}`;
  const grid = await api.get(`${path}/grid`, {}, signal);
  document.title = `${name} – rivers`;
  const selection = h("div", {});
  const missing = async (/** @type {Record<string, [number, number]>} */ where) => {
    try {
      const planned = await api.send("POST", `${path}/missing`, { where, dry_run: true });
      if (!planned.num_partitions) { toast("Nothing is missing there."); return; }
      const takes = planned.estimate ? `, about ${duration(planned.estimate)}` : "";
      const at = h("input", { type: "number", min: 1, value: 4 });
      const plan = h("div", { class: "stack" }, h("p", {}, `${count(planned.num_partitions)} partitions in ${count(planned.num_runs)} runs${takes}.`), h("label", {}, "Runs at once", at));
      if (!(await dialog("Make what is missing", plan, "Launch"))) return;
      const launched = await api.send("POST", `${path}/missing`, { where, max_concurrency: +at.value });
      location.hash = `#/backfills/${api.part(launched.backfill_id)}`;
    } catch (error) { toast(/** @type {Error} */ (error).message, true); }
  };
  const map = new GridMap(path, grid, {
    state: page.state, signal, changed: page.save,
    selected: async (part) => {
      if (!part) { put(selection); return; }
      const where = Object.entries(part).map(([key, [start, end]]) => `${key}:${start}-${end}`);
      const { totals } = await api.get(`${path}/cells`, { where, width: 1, height: 1 }, signal);
      const states = Object.keys(totals).filter((state) => totals[state]);
      put(selection, h("div", { class: "selection" },
        states.map((state) => h("span", { class: "row small" }, h("i", { class: "dot", style: { "--tone": tone(state) } }), `${count(totals[state])} ${state.replace("_", " ")}`)),
        h("span", { class: "grow" }),
        info.read_only ? null : h("button", { type: "button", class: "main", onclick: () => missing(part) }, "Make what is missing here…"),
        h("button", { type: "button", onclick: () => map.show(part) }, "Zoom"),
        h("button", { type: "button", class: "quiet", onclick: () => map.select(null) }, "Clear")));
    },
  });
  put(view, h("div", { class: "stack" },
    h("div", { class: "row" }, h("h1", {}, name), h("span", { class: "grow" }),
      info.read_only ? null : h("button", { type: "button", class: "main", id: "missing", title: "b", onclick: () => missing(Object.fromEntries(map.bounds)) }, "Backfill what is missing…")),
    h("section", { class: "card" }, map.element, selection)));
  document.addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/** @type {HTMLDialogElement} */ (document.getElementById("dialog")).open) return;
    if (event.key === "m") map.canvas.focus();
    else if (event.key === "b" && !info.read_only) missing(map.selection ? map.coordinates(...map.selection) : Object.fromEntries(map.bounds));
    else return;
    event.preventDefault();
  }, { signal });
  const timer = setInterval(() => map.refresh(), 3000);
  signal.addEventListener("abort", () => clearInterval(timer));
}
