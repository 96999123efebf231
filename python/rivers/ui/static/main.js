// Opens a session, and shows the view that the address names.
import * as api from "./api.js";
import * as assets from "./assets.js";
import * as backfill from "./backfill.js";
import * as backfills from "./backfills.js";
import { box, byId, dialog, empty, failed, h, messageOf, put } from "./dom.js";
import * as runs from "./runs.js";

const view = byId("view");
/** @type {any} */
let info = {};
let abort = new AbortController();
let shown = "";

/** Exchanges the token of the link, and removes it from the address and the history. */
async function openSession() {
  const found = /^#token=([\w-]+)$/.exec(location.hash);
  if (!found) return;
  history.replaceState(null, "", `${location.pathname}#/`);
  try {
    await api.send("POST", "/session", { token: found[1] });
  } catch (error) {
    // A link that was used in this browser: its session may still be there.
    if (!is(error, 403)) throw error;
  }
}

/** A part of the address; one that is no text stays as it is, and names nothing. */
function decoded(text = "") {
  try { return decodeURIComponent(text); } catch { return text; }
}

function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(decoded);
  const state = new URLSearchParams(query);
  const [name = "backfills", id] = parts;
  if (name === "backfills" && id) return { name, show: backfill.show, path: parts, state };
  if (name === "runs") return { name, show: id ? runs.one : runs.list, path: parts, state };
  if (name === "assets") return { name, show: id ? assets.one : assets.list, path: parts, state };
  return { name: "backfills", show: backfills.show, path: parts, state };
}

async function render() {
  if (location.hash === shown) return;
  shown = location.hash;
  const found = route();
  abort.abort();
  abort = new AbortController();
  const { signal } = abort;
  document.title = "rivers";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("data-view") === found.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const base = location.hash.split("?")[0] || "#/";
  /**
   * Keeps the state of the view in its address.
   * @param {URLSearchParams} state
   */
  const save = (state, anew = false) => {
    const query = state.toString();
    const hash = query ? `${base}?${query}` : base;
    if (anew) { location.hash = hash; return; }
    shown = hash;
    history.replaceState(null, "", hash);
  };
  if (box.open) box.close(); // It asks about what is no longer shown.
  put(view, h("p.empty", "Loading…"));
  try {
    await found.show(view, { path: found.path, state: found.state, signal, save, info });
    window.scrollTo(0, 0);
  } catch (error) {
    if (signal.aborted || is(error, 401)) return;
    if (is(error, 404)) put(view, empty("There is nothing here", `${messageOf(error)}. It may have been removed from the storage.`));
    else put(view, empty("This could not be read", messageOf(error), " ", h("button", { onclick: () => location.reload() }, "Try again")));
  }
}

/** @param {unknown} error @param {number} status */
const is = (error, status) => error instanceof api.ApiError && error.status === status;

api.connection.changed = (error) => {
  const isLost = error !== null && error.status === 0;
  byId("lost").hidden = !isLost;
  if (!error || isLost) return;
  abort.abort();
  put(view, empty("This browser has no session", "Open the link that ", h("code", "rivers ui"), " printed; after the server was started anew, it is another one. A link opens one browser; a browser that has a session can make another one (?)."));
};

function showHelp() {
  const help = /** @type {HTMLTemplateElement} */ (byId("help"));
  const link = h("button", { onclick: async () => put(link, (await api.send("POST", "/links")).url) }, "Link for another browser");
  dialog("Keyboard", h("div.stack", help.content.cloneNode(true), info.read_only ? null : link));
}

async function start() {
  try {
    await openSession();
    info = await api.get("/info");
  } catch (error) {
    if (!is(error, 401)) put(view, empty("The page could not start", messageOf(error)));
    return;
  }
  put(byId("storage"), info.storage);
  byId("mode").hidden = !info.read_only;
  byId("help-button").addEventListener("click", showHelp);
  window.addEventListener("hashchange", () => {
    if (/^#token=/.test(location.hash)) location.reload();
    else render();
  });
  // Also what a verb was refused for.
  window.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    if (!is(event.reason, 401)) failed(event.reason);
  });
  let last = "";
  document.addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "?") showHelp();
    if (last === "g" && event.key in { b: 1, a: 1, r: 1 }) {
      event.stopImmediatePropagation();
      location.hash = { b: "#/", a: "#/assets", r: "#/runs" }[event.key] ?? "#/";
    }
    last = event.key;
  }, true);
  await render();
}

start();
