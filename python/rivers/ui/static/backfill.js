// One backfill: its counts and verbs, its map, its errors, and its activity.
import * as api from "./api.js";
import { copy, dialog, each, empty, failed, h, onKey, put, toast } from "./dom.js";
import { drawActivity } from "./activity.js";
import { bar, count, counts, dot, duration, limits, pill, plural, rate, shares, tags, time } from "./format.js";
import { GridMap } from "./map.js";

/** @param {HTMLElement} view @param {any} page */
export async function show(view, page) {
  const { signal, info } = page;
  const id = page.path[1];
  const path = `/backfills/${api.part(id)}`;
  let [now, grids] = await Promise.all([api.get(path, {}, signal), api.get(`${path}/grids`, {}, signal)]);
  const head = h("div.card.stack", {});
  const selection = h("div", {});
  const mapCard = h("section.card", { "aria-label": "Map" });
  const errors = h("section.card", { id: "errors" });
  const activity = h("section.card", { id: "activity", "aria-label": "Activity" }, h("h2", {}, "Runs over time"), h("p.muted", {}, "Reading…"));
  const longest = h("section.card", { id: "longest" });
  put(view, h("div.stack", {}, head, mapCard, activity, h("div.two", {}, errors, longest)));

  let asset = page.state.get("asset") ?? "";
  /** @type {GridMap} */
  let map;
  const makeMap = () => {
    const own = grids.find((/** @type {any} */ grid) => grid.assets.includes(asset)) ?? grids[0];
    asset = own === grids[0] ? "" : own.assets[0];
    map = new GridMap(path, own, {
      asset: asset || undefined, state: page.state, signal,
      changed: (state) => { if (asset) state.set("asset", asset); page.save(state); },
      selected: (part) => choose(part),
    });
    const chooser = grids.length > 1
      ? h("label.row.small.muted", {}, "Assets", h("select", { onchange: (event) => { asset = event.target.value; page.state = new URLSearchParams(); makeMap(); } },
          each(grids, (grid) => h("option", { value: grid.assets[0], selected: grid === own }, grid.assets.join(", ")))))
      : null;
    // The map reads its cells when it is laid out.
    put(mapCard, chooser, map.element, selection);
  };

  const act = async (verb = "", /** @type {any} */ body = {}) => {
    try {
      now = await api.send("POST", `${path}/${verb}`, body);
      drawHead();
    } catch (error) { failed(error); }
  };
  const rerun = async (/** @type {any} */ body) => {
    try {
      const launched = await api.send("POST", `${path}/rerun`, body);
      toast(`Launched ${plural(launched.num_partitions, "partition")}`);
      location.hash = `#/backfills/${api.part(launched.backfill_id)}`;
    } catch (error) { failed(error); }
  };
  const cancel = async () => {
    const force = h("input", { type: "number", min: 0, step: "any", placeholder: "never" });
    const body = h("label", {}, "End runs in flight by force after seconds", force);
    const left = now.num_partitions - now.completed - now.failed;
    if (await dialog(`Cancel ${plural(left, "partition")}?`, body, "Cancel backfill")) act("cancel", { force_after: force.value === "" ? null : +force.value });
  };
  const change = async () => {
    const field = (name = "", /** @type {any} */ value, /** @type {any} */ more) => h("input", { type: "number", name, value: value ?? "", step: 1, ...more });
    const fields = [field("max_concurrency", now.max_concurrency, { min: 1 }), field("priority", now.priority, {}), field("max_failures", now.limits.max_failures, { min: 0, step: "any" })];
    const body = h("div.stack", {}, ["Runs at once", "Priority", "Stop at failures (count or share)"].map((label, index) => h("label", {}, label, fields[index])));
    if (!(await dialog("Limits", body, "Set"))) return;
    try {
      now = await api.send("PATCH", path, Object.fromEntries(fields.filter((input) => input.value !== "").map((input) => [input.name, +input.value])));
      drawHead();
    } catch (error) { failed(error); }
  };

  /** What a server without assets cannot do, and the command that does. */
  const elsewhere = () => {
    const verb = now.interrupted ? "resume" : now.status !== "in_progress" && now.failed + now.canceled ? "rerun" : "";
    if (info.has_assets || info.read_only || !verb) return null;
    const command = `rivers ${verb} ${id} --storage ${quoted(info.storage)}`;
    return h("div.note", {}, h("span", {}, `This server knows no assets, so it cannot ${verb} this. Start it as `, h("code", {}, "rivers ui MODULE"), ", or run"), h("code", {}, command),
      h("button", { onclick: () => copy(command) }, "Copy"));
  };

  function drawHead() {
    document.title = `${now.assets.join(", ")} – rivers`;
    const running = now.status === "in_progress";
    const button = (text = "", /** @type {() => any} */ on, more = {}) => h("button", { onclick: on, ...more }, text);
    const left = now.failed + now.canceled;
    const verbs = info.read_only ? [] : [
      running && !now.interrupted && !now.paused ? button("Pause", () => act("pause"), { title: "p" }) : null,
      running && now.paused ? button("Unpause", () => act("unpause"), { class: "main", title: "p" }) : null,
      running ? button("Set…", change, { title: "s" }) : null,
      running ? button("Cancel…", cancel, { class: "danger", title: "c" }) : null,
      running && now.interrupted && info.has_assets ? button("Resume", () => act("resume"), { class: "main", title: "u" }) : null,
      !running && left && info.has_assets ? button(`Rerun ${count(left)} ${!now.canceled ? "failed" : !now.failed ? "canceled" : "failed or canceled"}`, () => rerun({}), { class: "main", title: "r" }) : null,
    ];
    const numbers = shares(now).filter(([state, value]) => value || state === "completed");
    put(head,
      h("div.row", {}, h("h1", {}, now.assets.join(", ")), pill(now.state), h("span.grow", {}), h("div.row.verbs", {}, verbs)),
      bar(shares(now), "tall"),
      h("div.numbers", {},
        numbers.map(([state, value]) => h("div", { "data-state": state }, h("b", {}, count(value)), h("span", {}, dot(state), state))),
        h("div", {}, h("b", {}, count(now.num_partitions)), h("span", {}, "partitions")),
        running ? h("div", {}, h("b", {}, rate(now.rate)), h("span", {}, "rate")) : null,
        running ? h("div", {}, h("b", {}, duration(now.eta)), h("span", {}, "left")) : h("div", {}, h("b", {}, duration(now.duration)), h("span", {}, "took"))),
      h("div.small.muted.facts-line", {},
        [`started ${time(now.created_at)}`, now.strategy, limits(now), now.interrupted ? "its process is gone" : running ? "its process is alive" : null].filter(Boolean).map((text) => h("span", {}, text)),
        h("button.quiet.mono", { title: "Copy the id", onclick: () => copy(id) }, id),
        tags(now.tags)),
      elsewhere());
  }

  /** @type {{count: number, python: string, command: string, body: any, failed: number} | null} */
  let chosen = null;
  /** Reruns the selected part, or all that did not complete, once its count has been confirmed. */
  const rerunByKey = async () => {
    const failed = chosen ? chosen.failed : now.failed + now.canceled;
    const number = chosen ? chosen.failed || chosen.count : failed;
    const what = chosen && !chosen.failed ? "selected" : chosen ? "failed" : "failed or canceled";
    if (!number || !(await dialog(`Rerun ${plural(number, "partition")}?`, h("p", {}, `${count(number)} ${what} partition${number === 1 ? "" : "s"} of this backfill run again, as a new backfill.`), "Rerun"))) return;
    rerun(chosen ? { ...chosen.body, states: chosen.failed ? ["failed"] : chosen.body.states } : {});
  };

  async function choose(/** @type {Record<string, [number, number]> | null} */ part) {
    chosen = null;
    if (!part) { put(selection); return; }
    const where = api.where(part);
    const own = (page.selected = Symbol("selection"));
    /** @type {any} */
    let found;
    try {
      found = await api.get(`${path}/part`, { where, asset }, signal);
    } catch (error) { failed(error); return; }
    if (page.selected !== own) return;
    const { totals } = found;
    const states = Object.keys(totals).filter((state) => totals[state]);
    const body = { where: part, asset: asset || null };
    chosen = { ...found, failed: totals.failed, body: { ...body, states } };
    const ended = now.status !== "in_progress";
    const canRun = ended && info.has_assets && !info.read_only;
    put(selection, h("div.selection", { id: "selection" },
      h("b", {}, plural(found.count, "partition")),
      counts(totals),
      h("span.grow", {}),
      canRun && totals.failed ? h("button.main", { id: "rerun-failed", onclick: () => rerun({ ...body, states: ["failed"] }) }, `Rerun ${count(totals.failed)} failed here`) : null,
      canRun ? h("button", { id: "rerun-all", onclick: () => rerun({ ...body, states }) }, `Rerun all ${count(found.count)}`) : null,
      h("button", { onclick: () => map.show(part) }, "Zoom"),
      h("button", { title: "y", onclick: () => copy(found.python) }, "Copy Python"),
      h("button", { title: "Y", onclick: () => copy(found.command) }, "Copy command"),
      h("button.quiet", { onclick: () => map.select(null) }, "Clear")));
  }

  const drawErrors = (/** @type {any[]} */ groups) => {
    const filter = h("input", { type: "search", placeholder: "Filter", "aria-label": "Filter errors" });
    const list = h("div", {});
    const draw = () => {
      const fitting = groups.filter((group) => `${group.error_type} ${group.message}`.toLowerCase().includes(filter.value.toLowerCase()));
      put(list, fitting.slice(0, 100).map((group) => errorRow(group)));
    };
    const errorRow = (/** @type {any} */ group) => {
      const open = h("div", { hidden: !map.isFiltered(group) });
      const button = h("button.error", {
        "aria-pressed": String(map.isFiltered(group)),
        onclick: async () => {
          const pressed = button.getAttribute("aria-pressed") !== "true";
          for (const other of list.children) {
            other.querySelector(".error")?.setAttribute("aria-pressed", "false");
            /** @type {any} */ (other.lastElementChild).hidden = true;
          }
          button.setAttribute("aria-pressed", String(pressed));
          open.hidden = !pressed;
          // Every partition that failed with it is shown, and the first is marked.
          map.filter(pressed ? { error_type: group.error_type, error_message: group.message } : null);
          if (pressed) await locate(group.partition);
        },
      },
        h("span.count", {}, count(group.count)),
        h("span", {}, h("b", {}, group.error_type), `: ${group.message}`),
        h("span.small.muted.count", {}, now.failed ? `${Math.round((100 * group.count) / now.failed)}%` : ""),
        h("span.small.muted", {}, `first ${time(group.first_at)}, last ${time(group.last_at)}, such as `, h("span.mono", {}, group.partition)));
      put(open, group.traceback ? h("pre", {}, group.traceback) : null);
      return h("div", {}, button, open);
    };
    filter.addEventListener("input", draw);
    put(errors, h("div.row", {}, h("h2", {}, "Errors"), h("span.grow", {}), groups.length > 3 ? filter : null),
      groups.length ? list : h("p.muted", {}, now.failed ? "Reading…" : now.status === "in_progress" ? "Nothing has failed so far." : "Nothing has failed."));
    draw();
  };
  /**
   * Marks a partition on the map.
   * @param {string} text
   */
  const locate = async (text) => {
    const own = new Map(text.includes("=") ? text.split("|").map((word) => /** @type {[string, string]} */ ([word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)])) : [["partition", text]]);
    const { data } = map;
    const at = async (/** @type {string | null} */ name) => {
      if (name === null || !own.has(name)) return 0;
      const found = await api.get(`${path}/find`, { dimension: name, first: own.get(name), last: own.get(name), asset });
      return found[name][0] - map.part(name)[0];
    };
    try {
      const [x, y] = await Promise.all([at(data.columns), at(data.rows)]);
      const column = Math.floor(x / data.per_column);
      map.cursor = data.per_row === 0 ? [column % data.width, Math.floor(column / data.width)] : [column, Math.floor(y / data.per_row)];
      map.canvas.scrollIntoView({ block: "nearest" });
    } catch { /* a key that is no longer there is not marked */ }
  };

  const readErrors = async () => { if (now.failed) drawErrors(await api.get(`${path}/errors`, {}, signal)); else drawErrors([]); };
  const readActivity = async () => drawActivity(activity, longest, await api.get(`${path}/activity`, {}, signal));

  drawHead();
  makeMap();
  let [read, pause, reading] = [0, 0, false];
  // What is read from all runs is read the less often, the longer it takes.
  const slow = async () => {
    if (reading) return;
    reading = true;
    const start = Date.now();
    await Promise.all([readErrors(), readActivity()]).catch(() => {});
    reading = false;
    read = Date.now();
    pause = Math.max(4000, 30 * (read - start));
  };
  slow();
  if (now.status === "in_progress") {
    api.follow({ backfill: id }, (state) => {
      if (state === null) { put(view, empty("This backfill is gone", "Its records were removed from the storage.")); return; }
      const ended = now.status === "in_progress" && state.status !== "in_progress";
      now = state;
      drawHead();
      map.refresh();
      if (ended || Date.now() - read > pause) slow();
    }, signal);
  }
  onKey(signal, (key) => {
    const running = now.status === "in_progress";
    if (key === "m") map.canvas.focus();
    else if (key === "y" && chosen) copy(chosen.python);
    else if (key === "Y" && chosen) copy(chosen.command);
    else if (info.read_only) return false;
    else if (key === "p" && running && !now.interrupted) act(now.paused ? "unpause" : "pause");
    else if (key === "c" && running) cancel();
    else if (key === "s" && running) change();
    else if (key === "u" && now.interrupted && info.has_assets) act("resume");
    else if (key === "r" && !running && info.has_assets) rerunByKey();
    else return false;
  });
}

/** A word for a shell. */
const quoted = (text = "") => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
