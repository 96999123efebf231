// The list of backfills: live ones first, with filters and keyboard control.
import * as api from "./api.js";
import { each, empty, h, onKey, put, s, to } from "./dom.js";
import { ago, bar, count, duration, limits, liveness, pill, rate, shares, shortId, tags } from "./format.js";

const STATES = ["in_progress", "failed", "canceled", "completed"];

/** @param {HTMLElement} view @param {any} page */
export async function show(view, { state, signal, save, info }) {
  const list = h("div.list", { id: "backfills" });
  const search = h("input", {
    type: "search", placeholder: "Asset, tag or id  ( / )", "aria-label": "Search", value: state.get("search") ?? "",
    oninput: () => changed(), onkeydown: (event) => { if (event.key === "Escape") search.blur(); },
  });
  const chips = STATES.map((name) => h("button.chip", {
    "aria-pressed": String(state.getAll("status").includes(name)),
    onclick: (event) => {
      const pressed = event.currentTarget.getAttribute("aria-pressed") !== "true";
      event.currentTarget.setAttribute("aria-pressed", String(pressed));
      changed();
    },
  }, name === "in_progress" ? "running" : name));
  const more = h("button", { hidden: true, onclick: () => { limit += 200; load(); } }, "Show more");
  put(view, h("div.stack",
    h("div.row.filters", h("h1", "Backfills"), h("div.row.chips", chips), search), list, more));
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

  const load = async () => {
    const found = await api.get("/backfills", { status: chosen(), search: search.value, limit }, signal);
    shown = found.backfills;
    more.hidden = found.total <= shown.length;
    draw();
  };
  const draw = () => {
    const focused = document.activeElement?.getAttribute("data-id");
    const now = shown.map((view) => live.get(view.backfill_id) ?? view);
    put(list, now.length ? now.map(row) : chosen().length || search.value
      ? empty("No backfill fits", "Other words, or fewer states, may find it.")
      : empty("No backfills yet", "They appear here as soon as one starts, in whichever process: ", h("code", `rivers backfill ${info.module ?? "MODULE"}`)));
    if (focused) /** @type {HTMLElement | null} */ (list.querySelector(`[data-id="${CSS.escape(focused)}"]`))?.focus();
  };
  api.follow({}, (views) => {
    const before = live;
    live = new Map(each(views, (view) => [view.backfill_id, view]));
    const known = new Set(shown.map((view) => view.backfill_id));
    const isNew = [...live.keys()].some((id) => !known.has(id));
    const ended = [...before.keys()].some((id) => !live.has(id));
    if (isNew || ended) load();
    else draw();
  }, signal);
  onKey(signal, (key) => {
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[key];
    if (key === "/") search.focus();
    else if (step) {
      const rows = /** @type {HTMLElement[]} */ ([...list.querySelectorAll("a.item")]);
      const at = rows.indexOf(/** @type {HTMLElement} */ (document.activeElement));
      rows[Math.min(Math.max(at + step, 0), rows.length - 1)]?.focus();
    } else return false;
  });
  await load();
}

/**
 * How long a backfill takes, or has taken.
 * @param {any} view
 */
function left(view) {
  if (!view.is_running) return liveness(view) ?? `took ${duration(view.duration)}`;
  if (view.paused) return "no run starts";
  return view.rate ? `${duration(view.eta)} left` : "starting";
}

/** @param {any} view */
function row(view) {
  const ended = view.completed + view.failed + view.canceled;
  const running = view.is_running && !view.paused;
  return h("a.item", { href: to("backfills", view.backfill_id), "data-id": view.backfill_id },
    h("div.what",
      h("div.name", { title: view.assets.join(", ") }, view.assets.join(", ")),
      h("div.sub", h("span.mono", shortId(view.backfill_id)), ` · ${ago(view.created_at)} · ${view.strategy}`),
      view.tags.length ? h("div.sub.tags", tags(view.tags)) : null),
    h("div", pill(view.state)),
    h("div.wide", bar(shares(view)),
      h("div.under", h("span", `${count(ended)} of ${count(view.num_partitions)}`, view.failed ? ` · ${count(view.failed)} failed` : "",
        view.canceled ? ` · ${count(view.canceled)} canceled` : ""), h("span.narrow", left(view)))),
    h("div.spark-cell", running ? spark(view.history ?? []) : null),
    h("div.right.limits",
      h("div", left(view)),
      h("div.sub", [running && view.rate ? rate(view.rate) : null, limits(view), view.is_running ? liveness(view) : null].filter(Boolean).join(" · "))));
}

/** @param {number[]} values */
function spark(values) {
  if (values.length < 2) return h("span");
  const top = Math.max(...values, 1e-9);
  const points = values.map((value, index) => `${(100 * index) / (values.length - 1)},${24 - (22 * value) / top}`);
  return s("svg", { class: "spark", viewBox: "0 0 100 26", preserveAspectRatio: "none", "aria-hidden": "true" }, s("path", { class: "area", d: `M0,26L${points.join("L")}L100,26Z` }), s("path", { d: `M${points.join("L")}` }));
}
