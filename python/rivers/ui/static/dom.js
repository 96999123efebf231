// Elements, made without markup: every text of a user is set as text.

/** @typedef {Node | string | number | null | undefined | false} Child */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Makes an element. `on*` are listeners, `style` an object of CSS properties, `class` the class.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {any}
 */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/**
 * Makes an element of an SVG.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {any}
 */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * @param {Element} element
 * @param {Record<string, any>} attributes
 * @param {(Child | Child[])[]} children
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") {
      for (const [property, text] of Object.entries(value)) /** @type {any} */ (element).style.setProperty(property, text);
    } else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false).map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

/**
 * Replaces what an element has.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function put(element, ...children) {
  element.replaceChildren();
  fill(element, {}, children);
}

/**
 * Shows a message for a while.
 * @param {string} text
 * @param {boolean} [bad]
 */
export function toast(text, bad = false) {
  const element = h("div", { class: bad ? "toast bad" : "toast" }, text);
  document.getElementById("toasts")?.append(element);
  setTimeout(() => element.remove(), bad ? 8000 : 4000);
}

/**
 * Copies a text.
 * @param {string} text
 */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`Copied: ${text}`);
  } catch {
    dialog("Copy", h("pre", {}, text));
  }
}

/**
 * Opens a dialog; resolves to whether its main button was pressed.
 * @param {string} title @param {Child} body @param {string} [verb]
 * @returns {Promise<boolean>}
 */
export function dialog(title, body, verb) {
  const element = /** @type {HTMLDialogElement} */ (document.getElementById("dialog"));
  let answer = false;
  const close = (/** @type {boolean} */ value) => { answer = value; element.close(); };
  const form =
    h("form", { method: "dialog", onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); close(true); } },
      h("h2", {}, title), body,
      h("div", { class: "row" }, h("span", { class: "grow" }),
        h("button", { type: "button", onclick: () => close(false) }, verb ? "Back" : "Close"),
        verb ? h("button", { type: "submit", class: "main", autofocus: !(body instanceof Element && body.querySelector("input")) }, verb) : null));
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
