// The list of backfills: live ones first, with filters and keyboard control.
import * as api from "./api.js";
import { h, put, s } from "./dom.js";
import { ago, bar, count, duration, limits, pill, rate, shares } from "./format.js";

const STATES = ["in_progress", "failed", "canceled", "completed"];

/**
 * @param {HTMLElement} view
 * @param {any} page
 */
export async function show(view, { state, signal, save }) {
  const list = h("div", { class: "list", id: "backfills" });
  const search = h("input", { type: "search", placeholder: "Asset, tag or id  ( / )", "aria-label": "Search", value: state.get("search") ?? "" });
  const chips = STATES.map((name) => h("button", {
    class: "chip", type: "button", "aria-pressed": String(state.getAll("status").includes(name)),
    onclick: (/** @type {any} */ event) => {
      const pressed = event.currentTarget.getAttribute("aria-pressed") !== "true";
      event.currentTarget.setAttribute("aria-pressed", String(pressed));
      changed();
    },
  }, name === "in_progress" ? "running" : name));
  const more = h("button", { type: "button", hidden: true, onclick: () => { limit += 200; load(); } }, "Show more");
  put(view, h("div", { class: "stack" },
    h("div", { class: "row" }, h("h1", {}, "Backfills"), h("span", { class: "grow" }), chips, search), list, more));
  let limit = 100;
  /** @type {any[]} */
  let shown = [];
  /** @type {Map<string, any>} */
  let live = new Map();

  const chosen = () => STATES.filter((_, index) => chips[index].getAttribute("aria-pressed") === "true");
  let timer = 0;
  const changed = () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      const now = new URLSearchParams();
      chosen().forEach((name) => now.append("status", name));
      if (search.value) now.set("search", search.value);
      save(now);
      load();
    }, 120);
  };
  search.addEventListener("input", changed);

  const load = async () => {
    const found = await api.get("/backfills", { status: chosen(), search: search.value, limit }, signal);
    shown = found.backfills;
    more.hidden = found.total <= shown.length;
    draw();
  };
  const draw = () => {
    const focused = document.activeElement?.getAttribute("data-id");
    const now = shown.map((view) => live.get(view.backfill_id) ?? view);
    put(list, now.length ? now.map(row) : h("p", { class: "empty" }, chosen().length || search.value ? "No backfill fits." : "No backfills yet. Start one with: rivers backfill MODULE"));
    if (focused) /** @type {HTMLElement | null} */ (list.querySelector(`[data-id="${CSS.escape(focused)}"]`))?.focus();
  };
  api.follow({}, (views) => {
    const before = live;
    live = new Map(views.map((/** @type {any} */ view) => [view.backfill_id, view]));
    const known = new Set(shown.map((view) => view.backfill_id));
    const isNew = [...live.keys()].some((id) => !known.has(id));
    const ended = [...before.keys()].some((id) => !live.has(id));
    if (isNew || ended) load();
    else draw();
  }, signal);
  document.addEventListener("keydown", (event) => keys(event, list, search), { signal });
  await load();
}

/** @param {any} view */
function row(view) {
  const ended = view.completed + view.failed + view.canceled;
  return h("a", { class: "item", href: `#/backfills/${api.part(view.backfill_id)}`, "data-id": view.backfill_id },
    h("div", {},
      h("div", { class: "name" }, view.assets.join(", ")),
      h("div", { class: "sub" }, `${view.backfill_id.slice(0, 8)} · ${ago(view.created_at)} · ${view.strategy}`),
      view.tags.length ? h("div", { class: "sub" }, view.tags.map((/** @type {string[]} */ tag) => h("span", { class: "tag" }, `${tag[0]}=${tag[1]}`))) : null),
    h("div", { class: "right" }, pill(view.state)),
    h("div", { class: "wide" }, bar(shares(view)),
      h("div", { class: "sub" }, `${count(ended)} of ${count(view.num_partitions)}`, view.failed ? ` · ${count(view.failed)} failed` : "",
        view.canceled ? ` · ${count(view.canceled)} canceled` : "")),
    h("div", { class: "spark-cell" }, spark(view.history ?? [])),
    h("div", { class: "right limits" },
      h("div", {}, view.is_running ? (view.rate ? `${duration(view.eta)} left` : "starting") : duration(view.duration)),
      h("div", { class: "sub" }, view.is_running ? `${rate(view.rate)} · ${limits(view)}` : view.interrupted ? "its process is gone" : limits(view))));
}

/** @param {number[]} values */
function spark(values) {
  if (values.length < 2) return h("span", {});
  const top = Math.max(...values, 1e-9);
  const points = values.map((value, index) => `${(100 * index) / (values.length - 1)},${24 - (22 * value) / top}`);
  return s("svg", { class: "spark", viewBox: "0 0 100 26", preserveAspectRatio: "none", "aria-hidden": "true" }, s("path", { d: `M${points.join("L")}` }));
}

/**
 * @param {KeyboardEvent} event
 * @param {HTMLElement} list
 * @param {HTMLInputElement} search
 */
function keys(event, list, search) {
  if (event.target instanceof HTMLInputElement) {
    if (event.key === "Escape") search.blur();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
  if (event.key === "/") { event.preventDefault(); search.focus(); }
  if (!step) return;
  event.preventDefault();
  const rows = /** @type {HTMLElement[]} */ ([...list.querySelectorAll("a.item")]);
  const at = rows.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  rows[Math.min(Math.max(at + step, 0), rows.length - 1)]?.focus();
}
