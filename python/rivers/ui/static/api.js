// Requests to the server, and its events.
import { setClock } from "./format.js";

const BASE = "/api/v1";

/** An answer that refuses a request. */
export class ApiError extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** What is told when the server stops answering, refuses this browser, or answers again (`null`). */
export const connection = { changed: (/** @type {ApiError | null} */ _) => {} };

/** @param {string} url @param {RequestInit} options */
async function ask(url, options) {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    const lost = new ApiError(0, "The server does not answer");
    connection.changed(lost);
    throw lost;
  }
  setClock(response.headers.get("Date"));
  if (response.status !== 401) connection.changed(null);
  if (response.ok || response.status === 304) return response;
  let message = `${response.status} ${response.statusText}`;
  try {
    message = (await response.json()).error.message;
  } catch { /* not JSON: the status says enough */ }
  const error = new ApiError(response.status, message);
  if (error.status === 401) connection.changed(error);
  throw error;
}

/** @param {string} path @param {Record<string, any>} [query] */
export function address(path, query = {}) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") parameters.append(name, String(one));
    }
  }
  const text = parameters.toString();
  return BASE + path + (text ? `?${text}` : "");
}

/** @param {string} path @param {Record<string, any>} [query] @param {AbortSignal} [signal] */
export async function get(path, query, signal) {
  return (await ask(address(path, query), { signal })).json();
}

/** @param {string} method @param {string} path @param {any} [body] */
export async function send(method, path, body = {}) {
  const options = { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await ask(BASE + path, options);
  return response.status === 204 ? null : response.json();
}

/**
 * Reads a map; `null` if it has not changed since `tag`.
 * @param {string} path @param {Record<string, any>} query @param {string | null} tag @param {AbortSignal} [signal]
 */
export async function cells(path, query, tag, signal) {
  /** @type {Record<string, string>} */
  const headers = tag ? { "If-None-Match": tag } : {};
  const response = await ask(address(path, { ...query, format: "bytes" }), { headers, signal, cache: "no-store" });
  if (response.status === 304) return null;
  const buffer = await response.arrayBuffer();
  const size = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  return { ...head, bytes: new Uint8Array(buffer, 4 + size), tag: response.headers.get("ETag") };
}

/**
 * Follows events until the signal aborts.
 * @param {Record<string, any>} query @param {(state: any) => void} on @param {AbortSignal} signal
 */
export function follow(query, on, signal) {
  /** @type {EventSource | null} */
  let source = null;
  const close = () => { source?.close(); source = null; };
  // A page that nobody sees needs no stream, and browsers open six connections to a server.
  const open = () => {
    close();
    if (document.hidden || signal.aborted) return;
    const own = (source = new EventSource(address("/events", query)));
    own.onmessage = (event) => on(JSON.parse(event.data));
    own.onerror = async () => {
      // Says whether the server is gone or refuses; a stream that it closed is opened again.
      await get("/info", {}, signal).catch(() => {});
      if (own === source && own.readyState === EventSource.CLOSED) setTimeout(open, 2000);
    };
  };
  document.addEventListener("visibilitychange", open, { signal });
  signal.addEventListener("abort", close);
  open();
}

/**
 * Coordinates as parameters of a query.
 * @param {Record<string, [number, number]>} coordinates
 */
export const where = (coordinates) => Object.entries(coordinates).map(([name, [start, end]]) => `${name}:${start}-${end}`);
