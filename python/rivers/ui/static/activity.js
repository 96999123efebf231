// What the runs of a backfill did over time: rate, failures, what waits, and what each slot did.
import { each, h, link, put, s } from "./dom.js";
import { ago, count, dot, duration, rate, time, tone, until } from "./format.js";

const CHART = 84;
const LANE = 9;

/** A block of a path: one path is drawn faster than many rectangles. */
const block = (x = 0, y = 0, width = 0, height = 0) => (height ? `M${x} ${y}h${width}v${height}h${-width}z` : "");

/** @param {HTMLElement} chart @param {HTMLElement} lists @param {any} data */
export function drawActivity(chart, lists, data) {
  put(chart, h("h2", "Runs over time"), data.started.some((runs = 0) => runs) ? [rates(data), lanes(data), axis(data)] : h("p.muted", "No run has started."));
  put(lists, longest(data), due(data));
}

/**
 * The runs that ended, those that failed, and as a line those that have not started.
 * @param {any} data
 */
function rates({ bins, started, num_runs: total, seconds }) {
  const most = Math.max(...each(bins, ([ended]) => ended));
  const top = Math.max(most, 1);
  const wide = 100 / bins.length;
  let [good, bad] = ["", ""];
  bins.forEach((/** @type {number[]} */ [ended, failed], index = 0) => {
    const low = failed ? Math.max((CHART * failed) / top, 2) : 0;
    const high = (CHART * (ended - failed)) / top;
    good += block(index * wide, CHART + 2 - low - high, wide * 0.84, high);
    bad += block(index * wide, CHART + 2 - low, wide * 0.84, low);
  });
  let left = total;
  const points = started.map((runs = 0, index = 0) => {
    left -= runs;
    return `${(index + 1) * wide} ${CHART + 2 - (CHART * Math.max(left, 0)) / Math.max(total, 1)}`;
  });
  const failures = bins.reduce((sum = 0, /** @type {number[]} */ bin) => sum + bin[1], 0);
  const texts = [most ? `ended, up to ${rate(most / seconds)}` : "none has ended", `${count(failures)} failed`, `${count(Math.max(left, 0))} of ${count(total)} have not started`];
  return h("div",
    h("div.keys",
      [dot("completed"), dot("failed"), h("i.dash")].map((sign, index) => h("span", sign, texts[index]))),
    s("svg", { class: "chart", viewBox: `0 0 100 ${CHART + 4}`, preserveAspectRatio: "none", role: "img", "aria-label": texts.join(", ") },
      s("path", { d: good, fill: tone("completed") }), s("path", { d: bad, fill: tone("failed") }),
      s("path", { class: "waiting", d: `M0 2L${points.join("L")}` })));
}

/**
 * A row for each slot: a run is a block, and idle time is blank.
 * @param {any} data
 */
function lanes({ lanes: rows, num_lanes: total, busy }) {
  if (!rows || !rows.length) return rows ? null : h("p.small.muted", "Runs are too many to draw what each worker did.");
  const wide = 100 / busy.length;
  let [ran, bad, idle] = ["", "", ""];
  rows.forEach((text = "", row = 0) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const low = (row + 1) * LANE - 2;
    idle += block(0, row * LANE, 100, LANE - 2);
    for (let at = 0; at < busy.length;) {
      const [share, failed] = [bytes[2 * at], bytes[2 * at + 1]];
      let next = at + 1;
      while (next < busy.length && bytes[2 * next] === share && bytes[2 * next + 1] === failed) next += 1;
      // A lane that was busy for a part of an interval is filled up to that part, and idle above.
      const width = (next - at) * wide + (share === 255 ? 0.02 : 0);
      const tall = share && Math.max(((LANE - 2) * share) / 255, 1);
      const red = failed && Math.max(((LANE - 2) * failed) / 255, 2);
      ran += block(at * wide, low - tall, width, tall);
      bad += block(at * wide, low - red, width, red);
      at = next;
    }
  });
  const used = busy.reduce((sum = 0, runs = 0) => sum + runs, 0) / busy.length;
  const share = Math.min(Math.round((100 * used) / total), 100);
  const text = `${count(total)} ${total === 1 ? "worker was" : "workers were"} busy ${share}% of the time`;
  return h("div", { id: "lanes" },
    h("div.small.muted", `${text}; idle time is blank${total > rows.length ? ` (the first ${rows.length} are shown)` : ""}`),
    s("svg", { class: "lanes", viewBox: `0 0 100 ${rows.length * LANE}`, preserveAspectRatio: "none", style: { height: `${rows.length * LANE}px` }, role: "img", "aria-label": text, "data-lanes": rows.length },
      s("path", { d: idle, class: "idle" }), s("path", { d: ran, fill: tone("running") }), s("path", { d: bad, fill: tone("failed") })));
}

/** @param {any} data */
const axis = ({ start, end }) => h("div.row.small.muted", time(start), h("span.grow"), duration((Date.parse(end) - Date.parse(start)) / 1000), h("span.grow"), time(end));

/** @param {any} run */
const runLink = (run) => link("runs", run.run_id, h("span.mono", `run ${count(run.run)}`));

/** @param {any} data */
const longest = ({ longest: runs }) => [h("h2", "Longest runs"), runs.length
  ? h("div.scroll", h("table", each(runs, (run) => h("tr",
      h("td.whole", runLink(run)), h("td.num", duration(run.duration)), h("td.whole.muted", time(run.started_at)),
      h("td.small", h("div.two-lines", { title: run.error ?? "" }, run.error ?? ""))))))
  : h("p.muted", "No run has ended.")];

/** @param {any} data */
const due = ({ waiting: runs }) => (runs.length ? [h("h2", "Retries due"), h("div.scroll", h("table", { id: "retries" }, each(runs, (run) => {
  const left = until(run.due_at) / 1000;
  return h("tr", h("td.whole", runLink(run)), h("td", `attempt ${run.attempt} failed`), h("td.num", left > 0 ? `in ${duration(left)}` : ago(run.due_at)));
})))] : null);
