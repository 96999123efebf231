// Elements, made without markup: every text of a user is set as text.

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {{[name: string]: any, onclick?: (event: any) => any, onchange?: (event: any) => any, onkeydown?: (event: any) => any, onsubmit?: (event: any) => any}} Attributes */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Makes an element. `tag` may have classes, as `div.card`. Attributes may come before the children: `on*` are
 * listeners, `style` is an object of CSS properties.
 * @param {string} tag @param {...(Attributes | Child | Child[])} given @returns {any}
 */
export function h(tag, ...given) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  // A button does what its listener does; only that of a dialog submits.
  if (element instanceof HTMLButtonElement) element.type = "button";
  const hasAttributes = Object.getPrototypeOf(given[0] ?? "") === Object.prototype;
  const attributes = /** @type {Attributes} */ (hasAttributes ? given.shift() : {});
  return fill(element, attributes, /** @type {Child[]} */ (given));
}

/**
 * Makes an element of an SVG.
 * @param {string} tag @param {Record<string, any>} [attributes] @param {...(Child | Child[])} children @returns {any}
 */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** @param {Element} element @param {Record<string, any>} attributes @param {(Child | Child[])[]} children */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") {
      for (const [property, text] of Object.entries(value)) /** @type {any} */ (element).style.setProperty(property, text);
    } else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false).map((child) => (child instanceof Node ? child : visible(child))));
  return element;
}

/** A text in which what turns or hides other text is seen, as it is in a terminal. */
export const visible = (/** @type {Child} */ text) => String(text).replace(/[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`);

/**
 * Replaces what an element has.
 * @param {Element} element @param {...(Child | Child[])} children
 */
export function put(element, ...children) {
  element.replaceChildren();
  fill(element, {}, children);
}

/**
 * Says why a place has nothing to show.
 * @param {string} title @param {...Child} text
 */
export const empty = (title, ...text) => h("div.empty", h("h2", title), text.length ? h("p", text) : null);

/** Shows a message for a while. */
export function toast(text = "", bad = false) {
  const element = h("div", { class: bad ? "toast bad" : "toast" }, text);
  byId("toasts").append(element);
  setTimeout(() => element.remove(), bad ? 8000 : 4000);
}

/** @param {any} error */
export const messageOf = (error) => String(error?.message ?? error);

/** The address of a view of a backfill, an asset or a run. */
export const to = (view = "", id = "") => `#/${view}/${encodeURIComponent(id)}`;

/**
 * A link to such a view.
 * @param {string} view @param {string} id @param {Child} [text]
 */
export const link = (view, id, text = id) => h("a.link", { href: to(view, id) }, text);

/** @param {any} list what the server sent @param {(item: any, index: number) => any} make */
export const each = (list, make) => list.map(make);

/**
 * Shows why something was not done.
 * @param {unknown} error
 */
export const failed = (error) => {
  // That the server does not answer is said at the top, once; a view that was left asks no more.
  const { status, name } = /** @type {any} */ (error);
  if (status !== 0 && name !== "AbortError") toast(messageOf(error), true);
};

/**
 * Does something every other second, while its view is shown and seen.
 * @param {AbortSignal} signal @param {() => any} act
 */
export function every(signal, act) {
  const timer = setInterval(() => document.hidden || act(), 2000);
  signal.addEventListener("abort", () => clearInterval(timer));
}

/** An element of the page itself. */
export const byId = (id = "") => /** @type {HTMLElement} */ (document.getElementById(id));

export const box = /** @type {HTMLDialogElement} */ (byId("dialog"));

/**
 * Calls a function for keys that are neither for a field nor for a dialog; it returns `false` for those it does not use.
 * @param {AbortSignal} signal @param {(key: string) => any} on
 */
export function onKey(signal, on) {
  document.addEventListener("keydown", (event) => {
    const field = event.target instanceof Element && event.target.closest("input, select");
    // A field of a dialog that was just closed has the focus for a moment.
    if ((field && !field.closest("dialog:not([open])")) || box.open || event.ctrlKey || event.metaKey || event.altKey) return;
    if (on(event.key) !== false) event.preventDefault();
  }, { signal });
}

/** @typedef {[string, string, () => any, string?]} Verb its key, its word, what it does, and the look of its button */

/** @param {Verb[]} verbs */
export const buttons = (verbs) => verbs.map(([title, text, onclick, look]) => h("button", { onclick, title, class: look }, text));

/** Copies a text. */
export async function copy(text = "") {
  try {
    await navigator.clipboard.writeText(text);
    toast(`Copied: ${text}`);
  } catch {
    dialog("Copy", h("pre", text));
  }
}

/**
 * Opens a dialog; resolves to whether its main button was pressed.
 * @param {string} title @param {Child} body @param {string} [verb]
 * @param {() => Promise<Child>} [plan] says what would be done with the fields as they are; the button waits for it
 * @returns {Promise<boolean>}
 */
export function dialog(title, body, verb, plan) {
  const element = box;
  let answer = false;
  const close = (value = false) => { answer = value; element.close(); };
  const main = verb ? h("button", { type: "submit", class: "main", disabled: !!plan, autofocus: !(body instanceof Element && body.querySelector("input")) }, verb) : null;
  const said = h("p", { role: "status" }, plan ? "…" : "");
  let [asked, timer] = [0, 0];
  const ask = async () => {
    const own = asked;
    const [text, isRefused] = /** @type {any[]} */ (await plan?.().then((answer) => [answer, false], (error) => [messageOf(error), true]) ?? []);
    if (own !== asked) return;
    put(said, text);
    said.className = isRefused ? "lost" : "";
    main.disabled = isRefused;
  };
  const form =
    h("form", {
      method: "dialog", onsubmit: (event) => { event.preventDefault(); close(true); },
      oninput: plan && (() => { asked += 1; main.disabled = true; clearTimeout(timer); timer = window.setTimeout(ask, 200); }),
    },
      h("h2", title), body, plan ? said : null,
      h("div.row.verbs",
        h("button", { onclick: () => close(false) }, verb ? "Back" : "Close"), main));
  if (plan) ask();
  put(element, form);
  element.showModal();
  return new Promise((resolve) => {
    const closed = () => {
      const isShown = element.firstElementChild === form;
      if (isShown && element.open) return; // The event of the dialog before, which this one followed at once.
      element.removeEventListener("close", closed);
      resolve(answer);
      // What had the focus goes, so that keys mean the page's verbs again.
      if (isShown) put(element);
    };
    element.addEventListener("close", closed);
  });
}
