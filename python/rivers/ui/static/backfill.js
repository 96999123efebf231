// One backfill: its counts and verbs, its map, its errors, and its activity.
import * as api from "./api.js";
import { buttons, copy, dialog, each, empty, every, h, onKey, put, to, toast } from "./dom.js";
import { drawActivity } from "./activity.js";
import { bar, count, counts, dot, duration, limits, liveness, pill, plural, rate, shares, tags, time } from "./format.js";
import { GridMap } from "./map.js";

/** @param {HTMLElement} view @param {any} page */
export async function show(view, page) {
  const { signal, info } = page;
  const id = page.path[1];
  const path = `/backfills/${encodeURIComponent(id)}`;
  let [now, grids] = await Promise.all([api.get(path, {}, signal), api.get(`${path}/grids`, {}, signal)]);
  const head = h("div.card.stack");
  const mapCard = h("section.card", { "aria-label": "Map" });
  const errors = h("section.card", { id: "errors" });
  const activity = h("section.card", { id: "activity", "aria-label": "Activity" }, h("h2", "Runs over time"), h("p.muted", "Reading…"));
  const longest = h("section.card", { id: "longest" });
  put(view, h("div.stack", head, mapCard, activity, h("div.two", errors, longest)));

  let asset = page.state.get("asset") ?? "";
  /** @type {GridMap} */
  let map;
  const makeMap = () => {
    const own = grids.find((/** @type {any} */ grid) => grid.assets.includes(asset)) ?? grids[0];
    asset = own === grids[0] ? "" : own.assets[0];
    map = new GridMap(path, own, {
      asset: asset || undefined, state: page.state, signal,
      changed: (state) => { if (asset) state.set("asset", asset); page.save(state); },
      verbs: verbsOf,
    });
    const chooser = grids.length > 1
      ? h("label.row.small.muted", "Assets", h("select", { onchange: (event) => { asset = event.target.value; page.state = new URLSearchParams(); makeMap(); } },
          each(grids, (grid) => h("option", { value: grid.assets[0], selected: grid === own }, grid.assets.join(", ")))))
      : null;
    // The map reads its cells when it is laid out.
    put(mapCard, chooser, map.element);
  };

  const act = async (verb = "", /** @type {any} */ body = {}) => {
    now = await api.send("POST", `${path}/${verb}`, body);
    drawHead();
  };
  const rerun = async (/** @type {any} */ body) => {
    const launched = await api.send("POST", `${path}/rerun`, body);
    toast(`Launched ${plural(launched.num_partitions, "partition")}`);
    location.hash = to("backfills", launched.backfill_id);
  };
  const cancel = async () => {
    const force = h("input", { type: "number", min: 0, step: "any", placeholder: "never" });
    const body = h("label", "End runs in flight by force after seconds", force);
    const left = now.num_partitions - now.completed - now.failed;
    if (await dialog(`Cancel ${plural(left, "partition")}?`, body, "Cancel backfill")) act("cancel", { force_after: force.value === "" ? null : +force.value });
  };
  const change = async () => {
    const fields = each([["max_concurrency", now.max_concurrency, 1, 1], ["priority", now.priority, null, 1], ["max_failures", now.limits.max_failures, 0, "any"]],
      ([name, value, min, step]) => h("input", { type: "number", name, value, min, step }));
    const body = h("div.stack", ["Runs at once", "Priority", "Stop at failures (count or share)"].map((label, index) => h("label", label, fields[index])));
    if (!(await dialog("Limits", body, "Set"))) return;
    now = await api.send("PATCH", path, Object.fromEntries(fields.filter(({ value = "" }) => value).map(({ name = "", value = "" }) => [name, +value])));
    drawHead();
  };

  /** What a server without assets cannot do, and the command that does. */
  const elsewhere = () => {
    const verb = now.interrupted ? "resume" : now.status !== "in_progress" && now.failed + now.canceled ? "rerun" : "";
    if (info.has_assets || info.read_only || !verb) return null;
    const command = `rivers ${verb} ${id} --storage ${quoted(info.storage)}`;
    return h("div.note", h("span", `This server knows no assets, so it cannot ${verb} this. Start it as `, h("code", "rivers ui MODULE"), ", or run"), h("code", command),
      h("button", { onclick: () => copy(command) }, "Copy"));
  };

  /** What can be done with the backfill now. */
  function verbs() {
    const running = now.status === "in_progress";
    const left = now.failed + now.canceled;
    const which = !now.canceled ? "failed" : !now.failed ? "canceled" : "failed or canceled";
    /** @type {[boolean, ...import("./dom.js").Verb][]} */
    const all = [
      [running && !now.interrupted && !now.paused, "p", "Pause", () => act("pause")],
      [running && !now.interrupted && now.paused, "p", "Unpause", () => act("unpause"), "main"],
      [running, "s", "Set…", change],
      [running, "c", "Cancel…", cancel, "danger"],
      [running && now.interrupted && info.has_assets, "u", "Resume", () => act("resume"), "main"],
      [!running && left > 0 && info.has_assets, "r", `Rerun ${count(left)} ${which}`, () => rerun({}), "main"],
    ];
    return all.filter(([isNow]) => isNow && !info.read_only).map(([_, ...verb]) => verb);
  }

  function drawHead() {
    document.title = `${now.assets.join(", ")} – rivers`;
    const running = now.status === "in_progress";
    const numbers = shares(now).filter(([state, value]) => value || state === "completed");
    put(head,
      h("div.row", h("h1", now.assets.join(", ")), pill(now.state), h("div.row.verbs", buttons(verbs()))),
      bar(shares(now), "tall"),
      h("div.numbers",
        numbers.map(([state, value]) => h("div", { "data-state": state }, h("b", count(value)), h("span", dot(state), state))),
        h("div", h("b", count(now.num_partitions)), h("span", "partitions")),
        running ? h("div", h("b", rate(now.rate)), h("span", "rate")) : null,
        running ? h("div", h("b", duration(now.eta)), h("span", "left")) : h("div", h("b", duration(now.duration)), h("span", "took"))),
      h("div.small.muted.facts-line",
        [`started ${time(now.created_at)}`, now.strategy, limits(now), liveness(now)].filter(Boolean).map((text) => h("span", text)),
        h("button.quiet.mono", { title: "Copy the id", onclick: () => copy(id) }, id),
        tags(now.tags)),
      now.workers?.unmet ? h("div.note", `Runs wait: ${now.workers.unmet}`) : null,
      elsewhere());
  }

  const canRun = () => now.status !== "in_progress" && info.has_assets && !info.read_only;
  /** What is sent for a part: its coordinates, whatever its size. */
  const bodyOf = (/** @type {any} */ { part, totals }, states = Object.keys(totals).filter((state) => totals[state])) => ({ where: part, asset: asset || null, states });
  /** Reruns the selected part, or all that did not complete, once its count has been confirmed. */
  const rerunByKey = async () => {
    const { chosen } = map;
    const failed = chosen ? chosen.totals.failed : now.failed + now.canceled;
    const number = chosen ? failed || chosen.count : failed;
    const what = chosen && !failed ? "selected" : chosen ? "failed" : "failed or canceled";
    if (!number || !(await dialog(`Rerun ${plural(number, "partition")}?`, h("p", `What is ${what} runs again, as a new backfill.`), "Rerun"))) return;
    rerun(chosen ? bodyOf(chosen, failed ? ["failed"] : undefined) : {});
  };

  const verbsOf = (/** @type {any} */ own) => [
    canRun() && own.totals.failed ? h("button.main", { id: "rerun-failed", onclick: () => rerun(bodyOf(own, ["failed"])) }, `Rerun ${count(own.totals.failed)} failed here`) : null,
    canRun() ? h("button", { id: "rerun-all", onclick: () => rerun(bodyOf(own)) }, `Rerun all ${count(own.count)}`) : null,
    h("button", { title: "y", onclick: () => copy(own.python) }, "Copy Python"),
    h("button", { title: "Y", onclick: () => copy(own.command) }, "Copy command"),
  ];

  /** @type {any[]} */
  let groups = [];
  const filter = h("input", { type: "search", placeholder: "Filter", "aria-label": "Filter errors", oninput: () => drawErrors() });
  const list = h("div");
  put(errors, h("div.row", h("h2", "Errors"), h("span.grow"), filter), list);
  const drawErrors = () => {
    const used = [...list.children].findIndex((row) => row.contains(document.activeElement));
    const fitting = groups.filter((group) => `${group.error_type} ${group.message}`.toLowerCase().includes(filter.value.toLowerCase()));
    filter.hidden = groups.length < 4;
    put(list, groups.length ? fitting.slice(0, 100).map(errorRow)
      : h("p.muted", now.failed ? "Reading…" : now.status === "in_progress" ? "Nothing has failed so far." : "Nothing has failed."));
    list.children[used]?.querySelector("button")?.focus();
  };
  const errorRow = (/** @type {any} */ group) => {
    const isOpen = map.isFiltered(group);
    const button = h("button.error", {
      "aria-pressed": String(isOpen),
      onclick: () => {
        // Every partition that failed with it is shown, and the first is marked.
        map.filter(isOpen ? null : { error_type: group.error_type, error_message: group.message });
        drawErrors();
        if (!isOpen) map.mark(group.partition);
      },
    },
      h("span.count", count(group.count)),
      h("span", h("b", group.error_type), `: ${group.message}`),
      h("span.small.muted.count", now.failed ? `${Math.round((100 * group.count) / now.failed)}%` : ""),
      h("span.small.muted", `first ${time(group.first_at)}, last ${time(group.last_at)}, such as `, h("span.mono", group.partition)));
    return h("div", button, isOpen && group.traceback ? h("pre", group.traceback) : null);
  };
  const readErrors = async () => {
    groups = now.failed ? await api.get(`${path}/errors`, {}, signal) : [];
    drawErrors();
  };
  const readActivity = async () => drawActivity(activity, longest, await api.get(`${path}/activity`, {}, signal));

  drawHead();
  makeMap();
  let [read, pause, reading, again] = [0, 0, false, false];
  // What is read from all runs is read the less often, the longer it takes, and once more at the end.
  const slow = async () => {
    again = reading;
    if (reading) return;
    reading = true;
    const start = Date.now();
    await Promise.all([readErrors(), readActivity()]).catch(() => {});
    reading = false;
    read = Date.now();
    pause = Math.max(1000, 30 * (read - start));
    if (again) slow();
  };
  slow();
  if (now.status === "in_progress") {
    api.follow({ backfill: id }, (state) => {
      if (state === null) { put(view, empty("This backfill is gone", "Its records were removed from the storage.")); return; }
      const ended = now.status === "in_progress" && state.status !== "in_progress";
      now = state;
      drawHead();
      map.refresh();
      if (ended) slow();
    }, signal);
    every(signal, () => { if (now.status === "in_progress" && !reading && Date.now() - read > pause) slow(); });
  }
  onKey(signal, (key) => {
    if (key === "y" && map.chosen) copy(map.chosen.python);
    else if (key === "Y" && map.chosen) copy(map.chosen.command);
    else if (key === "r" && canRun()) rerunByKey();
    else return map.onKey(key, verbs());
  });
}

/** A word for a shell. */
const quoted = (text = "") => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
