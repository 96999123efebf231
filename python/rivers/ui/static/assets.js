// The graph of assets, and one asset: its whole grid, and what is missing of it.
import * as api from "./api.js";
import { buttons, dialog, each, empty, every, h, link, onKey, put, s, to, toast } from "./dom.js";
import { count, duration, plural } from "./format.js";
import { GridMap } from "./map.js";

/** @typedef {import("./dom.js").Child} Child */
/** @typedef {[number, number]} Place */

/** @param {HTMLElement} view @param {any} page */
export async function list(view, { signal, info }) {
  if (!info.has_assets) {
    put(view, h("div.stack", h("h1", "Assets"), empty("The server knows no assets", "Start it with the file or module that defines them: ", h("code", "rivers ui MODULE"), ". Then this page shows their grids, and can rerun, resume and make what is missing.")));
    return;
  }
  const assets = await api.get("/assets", {}, signal);
  put(view, h("div.stack", h("h1", "Assets"), h("section.card.graph", graph(assets, view.clientWidth - 36)),
    h("section.card.scroll", h("table",
      h("tr", ["Asset", "Dimensions", "Depends on"].map((name) => h("th", name)), h("th.num", "Partitions")),
      each(assets, (asset) => h("tr",
        h("td.whole", asset.num_partitions === null ? asset.name : link("assets", asset.name)),
        h("td.muted", dimensions(asset)),
        h("td.muted", asset.depends_on.join(", ")),
        h("td.num", asset.num_partitions === null ? "–" : count(asset.num_partitions))))))));
}

/** @param {any} asset */
const dimensions = (asset) => each(asset.dimensions, (own) => (asset.dimensions.length === 1 && own.name === "partition" ? plural(own.size, "key") : `${own.name} ${count(own.size)}`)).join(" × ");

/**
 * Draws assets in columns by their depth.
 * @param {any[]} assets @param {number} space
 */
function graph(assets, space) {
  const byName = new Map(assets.map((asset) => [asset.name, asset]));
  const depths = new Map();
  const depth = (name = "") => {
    if (!depths.has(name)) {
      depths.set(name, 0);
      depths.set(name, Math.max(-1, ...(byName.get(name)?.depends_on ?? []).filter((up = "") => byName.has(up) && up !== name).map(depth)) + 1);
    }
    return depths.get(name);
  };
  /** @type {Map<string, Place>} */
  const places = new Map();
  /** @type {number[]} */
  const used = [];
  // What stands alone fills lines below, as many in one as are beside each other above.
  const linked = new Set(assets.flatMap((asset) => asset.depends_on.filter((up = "") => byName.has(up) && up !== asset.name).flatMap((up = "") => [up, asset.name])));
  for (const { name } of assets.filter((asset) => linked.has(asset.name))) {
    const column = depth(name);
    used[column] = (used[column] ?? 0) + 1;
    places.set(name, [column * 230 + 1, (used[column] - 1) * 66 + 1]);
  }
  const alone = assets.filter((asset) => !linked.has(asset.name));
  const columns = Math.max(used.length, Math.min(alone.length, Math.max(Math.floor((space + 10) / 230), 1)));
  const top = Math.max(...used, 0) * 66;
  alone.forEach(({ name }, index) => places.set(name, [(index % columns) * 230 + 1, top + Math.floor(index / columns) * 66 + 1]));
  const width = columns * 230 - 48;
  const height = top + Math.ceil(alone.length / columns) * 66 - 14;
  const lines = assets.flatMap((asset) => asset.depends_on.filter((up = "") => places.has(up) && up !== asset.name).map((up = "") => {
    const [x0, y0] = /** @type {Place} */ (places.get(up));
    const [x1, y1] = /** @type {Place} */ (places.get(asset.name));
    return s("path", { d: `M${x0 + 180} ${y0 + 25}C${x0 + 206} ${y0 + 25} ${x1 - 26} ${y1 + 25} ${x1} ${y1 + 25}` });
  }));
  const short = (text = "") => (text.length > 22 ? `${text.slice(0, 21)}…` : text);
  const boxes = assets.map((asset) => {
    const [x, y] = /** @type {Place} */ (places.get(asset.name));
    const href = asset.num_partitions === null ? "#/assets" : to("assets", asset.name);
    return s("a", { href }, s("rect", { x, y, width: 180, height: 50, rx: 9 }), s("text", { x: x + 13, y: y + 21 }, short(asset.name)),
      s("text", { x: x + 13, y: y + 38, class: "muted" }, asset.num_partitions === null ? "no partitions" : plural(asset.num_partitions, "partition")));
  });
  return s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Graph of assets" }, lines, boxes);
}

/** @param {HTMLElement} view @param {any} page */
export async function one(view, page) {
  const { signal, info } = page;
  const name = page.path[1];
  const path = `/assets/${encodeURIComponent(name)}`;
  const [grid, assets] = await Promise.all([api.get(`${path}/grid`, {}, signal), api.get("/assets", {}, signal)]);
  const byName = new Map(each(assets, (asset) => [asset.name, asset]));
  const own = byName.get(name);
  const links = (word = "", /** @type {any[]} */ names) => (names.length ? h("span", `${word} `, names.flatMap((other, index) => [index ? ", " : "", link("assets", other)])) : null);
  const isKnown = (other = "") => byName.has(other) && byName.get(other).num_partitions !== null;
  const users = [...byName.keys()].filter((other) => isKnown(other) && byName.get(other).depends_on.includes(name));
  document.title = `${name} – rivers`;
  /**
   * Asks for partitions, at first those that are selected or shown; `act` says what it would do with them, or does it.
   * @param {string} title @param {string} verb @param {any[]} fields
   * @param {(keys: string, dry_run: boolean) => Promise<any>} act @param {(done: any) => Child} say
   */
  const ask = async (title, verb, fields, act, say) => {
    const { keys } = map.chosen ?? (await map.count(Object.fromEntries(map.bounds)));
    const field = h("input.mono", { value: keys, placeholder: "all", name: "keys" });
    const body = h("div.stack", h("label", "Partitions", field), fields);
    return (await dialog(title, body, verb, async () => say(await act(field.value, true)))) ? act(field.value, false) : null;
  };
  const backfill = async () => {
    const which = h("select", each([["only_missing", "what is missing"], ["only_stale", "what is missing or stale"], ["", "all of them, again"]],
      ([value, text]) => h("option", { value }, text)));
    const at = h("input", { type: "number", min: 1, value: 4 });
    const launched = await ask("Backfill", "Launch", [h("label", "Of these", which), h("label", "Runs at once", at)],
      (range, dry_run) => api.send("POST", "/backfills", { selection: [name], range, max_concurrency: +at.value, dry_run, ...(which.value && { [which.value]: true }) }),
      (plan) => {
        if (!plan.num_partitions) throw new Error("Nothing is missing there.");
        return `${plural(plan.num_partitions, "partition")} in ${plural(plan.num_runs, "run")}${plan.estimate ? `, about ${duration(plan.estimate)}` : ""}.`;
      });
    if (launched) location.hash = to("backfills", launched.backfill_id);
  };
  const record = async (verb = "", title = "", state = "") => {
    const done = await ask(title, title, [], (keys, dry_run) => api.send("POST", `${path}/${verb}`, { keys: keys || null, dry_run }),
      ({ num_partitions: number }) => `${plural(number, "partition")} will count as ${state}; nothing runs, and values stay where they are.`);
    if (!done) return;
    toast(`${plural(done.num_partitions, "partition")} now ${done.num_partitions === 1 ? "counts" : "count"} as ${state}`);
    map.select(null);
    map.refresh(true);
  };
  /** @type {import("./dom.js").Verb[]} */
  const verbs = info.read_only ? [] : [
    ["F", "Forget…", () => record("forget", "Forget", "missing")],
    ["R", "Report…", () => record("report", "Report", "materialized")],
    ["b", "Backfill…", backfill, "main"],
  ];
  const map = new GridMap(path, grid, {
    state: page.state, signal, changed: page.save,
    verbs: () => buttons(verbs),
  });
  put(view, h("div.stack",
    h("div.row", h("h1", name), h("div.row.verbs", buttons(verbs))),
    h("div.small.muted.facts-line", h("span", dimensions(own)), links("depends on", own.depends_on.filter(isKnown)), links("used by", users),
      Object.entries(own.metadata).map(([key, text]) => h("span.tag", `${key}=${text}`))),
    h("section.card", map.element)));
  onKey(signal, (key) => map.onKey(key, verbs));
  every(signal, () => map.refresh());
}
