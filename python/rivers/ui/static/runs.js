// The latest runs, and one run: its steps, attempts, error and metadata.
import * as api from "./api.js";
import { each, empty, every, h, link, put } from "./dom.js";
import { ago, count, duration, pill, plural, shortId, tags, time } from "./format.js";

/** @param {any} run */
const seconds = (run) => (run.started_at && run.ended_at ? (Date.parse(run.ended_at) - Date.parse(run.started_at)) / 1000 : null);

/** @param {HTMLElement} view @param {any} page */
export async function list(view, { state, signal, save }) {
  const status = state.get("status") ?? "";
  const choice = h("select", { "aria-label": "Status", onchange: (event) => {
    save(new URLSearchParams(event.target.value ? { status: event.target.value } : {}), true);
  } }, ["", "running", "completed", "failed"].map((name) => h("option", { value: name, selected: name === status }, name || "all")));
  const card = h("div.card.scroll");
  const draw = async () => {
    const runs = await api.get("/runs", { status, limit: 200 }, signal);
    put(card, runs.length ? h("table",
      h("tr", ["Run", "Status", "Assets", "Started"].map((name) => h("th", name)), h("th.num", "Took"), h("th", "Error")),
      each(runs, (run) => h("tr",
        h("td.whole", link("runs", run.run_id, h("span.mono", { title: run.run_id }, shortId(run.run_id)))),
        h("td", pill(run.status)), h("td.whole", run.assets.join(", ")), h("td.whole", { title: time(run.started_at) }, ago(run.started_at)),
        h("td.num", duration(seconds(run))), h("td.small.fill", h("div.two-lines", { title: run.error ?? "" }, run.error ?? "")))))
      : status ? empty(`No run is ${status}`, "Choose another status above.") : empty("No runs yet", "Runs appear here once they start."));
  };
  await draw();
  every(signal, () => card.querySelector(":focus") || draw());
  put(view, h("div.stack", h("div.row", h("h1", "Latest runs"), h("span.grow"), choice), card));
}

/** @param {HTMLElement} view @param {any} page */
export async function one(view, page) {
  let isOpen = await drawRun(view, page);
  every(page.signal, async () => { if (isOpen && !view.querySelector(":focus")) isOpen = await drawRun(view, page); });
}

/**
 * Shows a run; returns whether it has not ended.
 * @param {HTMLElement} view @param {any} page
 */
async function drawRun(view, { path, signal, info }) {
  const address = `/runs/${encodeURIComponent(path[1])}`;
  const read = (what = "") => api.get(`${address}/${what}`, {}, signal);
  const [run, events, error, log, inputs] = await Promise.all([
    api.get(address, {}, signal), read("events"), read("error"), read("log"),
    // The assets may have changed since, so that the run is not theirs any more.
    info.has_assets ? read("inputs").catch(() => []) : [],
  ]);
  document.title = `Run ${run.run_id} – rivers`;
  const fact = (name = "", /** @type {any} */ value) => [h("dt", name), h("dd", value)];
  const attempts = 1 + events.filter((/** @type {any} */ event) => event.event_type === "StepRetry").length;
  put(view, h("div.stack",
    h("div.row", h("h1", "Run ", h("span.mono", { title: run.run_id }, shortId(run.run_id))), pill(run.status)),
    h("div.two",
      h("section.card", h("dl.facts",
        fact("Assets", run.assets.join(", ")), fact("Run", h("span.mono", run.run_id)),
        run.backfill_id ? fact("Backfill", link("backfills", run.backfill_id, h("span.mono", run.backfill_id))) : null,
        fact("Started", time(run.started_at)), fact("Took", duration(seconds(run))), fact("Attempts", attempts),
        fact("Steps", `${run.steps_ended} of ${run.steps}`),
        run.block_reason ? fact("Waits", run.block_reason) : null,
        fact("Tags", h("div.tags", tags(run.tags))))),
      h("section.card", h("h2", plural(run.num_partitions, "partition")),
        h("div.mono.keys-list", run.partition_keys.slice(0, 200).map((key = "") => h("div", key))),
        run.num_partitions > Math.min(run.partition_keys.length, 200) ? h("p.small.muted", `and ${count(run.num_partitions - Math.min(run.partition_keys.length, 200))} more`) : null)),
    error.errors.length ? h("section.card", { id: "run-errors" }, h("h2", error.errors.length === 1 ? "Error" : `${count(error.errors.length)} errors`), error.errors.map(oneError)) : null,
    inputs.length ? h("section.card.scroll", { id: "inputs" }, h("h2", "Inputs"), h("table",
      h("tr", ["Asset", "Loads", "Partitions", ""].map((name) => h("th", name))),
      each(inputs, (own) => h("tr", h("td", own.asset),
        h("td", own.num_partitions ? link("assets", own.upstream) : own.upstream),
        h("td.mono", own.partition_keys.slice(0, 5).join(", "), own.num_partitions > 5 ? `, … (${count(own.num_partitions)})` : ""),
        h("td.small.muted", own.in_run ? "made in this run" : ""))))) : null,
    log.length ? h("section.card", { id: "log" }, h("h2", "Log"), h("pre", each(log, (line) => h("div", { class: `log ${line.level}` }, `${time(line.time)} ${line.level} ${line.asset ?? ""} ${line.message}${line.exception ? `\n${line.exception}` : ""}`)))) : null,
    h("section.card.scroll", h("h2", "Events"), h("table", { id: "events" },
      h("tr", ["Time", "Event", "Asset", "Partition", "Metadata"].map((name) => h("th", name))),
      each(events, (event) => h("tr",
        h("td.small.whole", time(new Date(event.timestamp).toISOString())), h("td", event.event_type), h("td", event.asset_key),
        h("td.mono", event.partition_key ?? ""),
        h("td.small.fill", event.metadata.map((/** @type {string[]} */ [name, text]) => h("div", `${name}: ${text}`)))))))));
  return !run.ended_at;
}

/** @param {any} error */
function oneError(error) {
  const where = [error.asset, error.partition, error.attempt ? `attempt ${error.attempt}` : null].filter(Boolean).join(" · ");
  return h("div", h("p", h("b", error.error_type), `: ${error.message} `, h("span.muted.small", where)),
    error.traceback ? h("pre", error.attempt ? {} : { id: "traceback" }, error.traceback) : null);
}
