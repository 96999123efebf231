// Numbers, times and states in words.
import { h } from "./dom.js";

/** @param {number} value */
export const count = (value) => value.toLocaleString("en-US");

/** @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return seconds > 0 && seconds < 0.001 ? "< 1 ms" : `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${count(Math.round(minutes / 1440))} days`;
}

/** @param {number | null | undefined} value */
export function rate(value) {
  if (!value) return "–";
  if (value >= 10) return `${count(Math.round(value))}/s`;
  if (value >= 1) return `${value.toFixed(1)}/s`;
  return value * 60 >= 1 ? `${(value * 60).toFixed(1)}/min` : `${(value * 3600).toFixed(1)}/h`;
}

/** @param {string | null | undefined} text */
export function time(text) {
  if (!text) return "–";
  return new Date(text).toLocaleString("sv-SE"); // As 2024-01-31 08:00:00.
}

let ahead = 0;

/**
 * Keeps by how much the clock of the server is ahead of that of the browser.
 * @param {string | null} date
 */
export function setClock(date) {
  const own = date ? Date.parse(date) - Date.now() : 0;
  ahead = Math.abs(own) > 2000 ? own : 0; // The header has whole seconds.
}

/** The milliseconds from now to a time of the server. */
export const until = (text = "") => Date.parse(text) - Date.now() - ahead;

/** @param {string | null | undefined} text */
export function ago(text) {
  if (!text) return "–";
  const seconds = -until(text) / 1000;
  return seconds < 5 ? "just now" : `${duration(seconds)} ago`;
}

export const tone = (state = "") => `var(--${state})`;

/** The colour of a state, with the pattern that it has on the map. */
export const dot = (state = "") => h("i", { class: `dot is-${state}`, style: { "--tone": tone(state) } });

/** @param {Record<string, number>} totals */
export const counts = (totals) => Object.entries(totals).filter(([, value]) => value).map(([state, value]) => h("span", dot(state), `${count(value)} ${state.replace("_", " ")}`));

/** @param {string[][]} pairs */
export const tags = (pairs) => pairs.map(([name, value]) => h("span.tag", `${name}=${value}`));

/** A number with its noun. */
export const plural = (number = 0, noun = "") => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

/** The beginning of an id, by which the command line finds it, and the number of a run. */
export const shortId = (id = "") => id.replace(/^([0-9a-f]{8}-[0-9a-f]{4})-[0-9a-f-]{22}/, "$1");

/** A state as a pill. */
export function pill(state = "") {
  const shown = state === "in_progress" ? "running" : state;
  return h("span.pill", { style: { "--tone": tone(shown) } }, shown);
}

/**
 * The counts of a backfill by state.
 * @param {any} view @returns {[string, number][]}
 */
export function shares(view) {
  const left = view.num_partitions - view.completed - view.failed - view.canceled;
  const open = view.status === "in_progress" ? left : 0;
  // Of runs in flight.
  const running = Math.min(Math.round((view.running * view.num_partitions) / view.num_runs) || 0, open);
  return [["completed", view.completed], ["failed", view.failed], ["canceled", view.canceled], ["running", running], ["pending", open - running]];
}

/**
 * A bar of the shares of states.
 * @param {[string, number][]} counts
 */
export function bar(counts, size = "") {
  const total = counts.reduce((sum, [, value]) => sum + value, 0) || 1;
  const label = counts.filter(([, value]) => value).map(([state, value]) => `${count(value)} ${state}`).join(", ");
  return h("div", { class: `shares ${size}`, role: "img", "aria-label": label, title: label },
    counts.filter(([, value]) => value).map(([state, value]) => h("i", { class: `is-${state}`, style: { width: `${(100 * value) / total}%`, "--tone": tone(state) } })));
}

/**
 * The limits that hold a backfill back.
 * @param {any} view
 */
export function limits(view) {
  const words = [`${view.max_concurrency} at once`];
  const own = view.limits || {};
  if (own.max_failures) words.push(own.max_failures < 1 ? `stops at ${own.max_failures * 100}% failures` : `stops at ${own.max_failures} failures`);
  if (own.max_starts_per_second) words.push(`${own.max_starts_per_second} starts/s`);
  if (own.canary) words.push(`canary of ${own.canary}`);
  if (own.timeout) words.push(`timeout ${own.timeout} s`);
  if (own.stop_on_failure) words.push("stops on failure");
  if (view.workers) words.push(`${plural(view.workers.num_workers, "worker")} on ${plural(view.workers.num_nodes, "node")}`);
  return words.join(" · ");
}

/** Whether the process of a backfill lives. */
export const liveness = (/** @type {any} */ view) => (view.interrupted ? "its process is gone" : view.is_running ? "its process is alive" : null);
