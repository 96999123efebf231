// The map of a grid: which cells are shown, zoom, choice of dimensions, and selection of rectangles.
import * as api from "./api.js";
import { each, failed, h, messageOf, put } from "./dom.js";
import { count, counts, dot, plural } from "./format.js";
import { MAX_HEIGHT, WRAP_CELL, paint } from "./paint.js";

const MIN_CELL = 3;

/** @typedef {{name: string, size: number, is_time: boolean}} Dimension */
/** @typedef {[number, number]} Pair column and row of a cell, or the ends of a part of a dimension */

export class GridMap {
  /**
   * @param {string} path the address of the backfill or the asset
   * @param {{dimensions: Dimension[], rows: string | null, columns: string | null, states: string[]}} grid
   * @param {{asset?: string, state: URLSearchParams, signal: AbortSignal, changed: (state: URLSearchParams) => void, verbs: (chosen: any) => any}} options
   */
  constructor(path, grid, options) {
    this.path = path;
    this.grid = grid;
    this.options = options;
    this.sizes = new Map(grid.dimensions.map((dimension) => [dimension.name, dimension.size]));
    const { state } = options;
    const known = (/** @type {string | null} */ name) => (name !== null && this.sizes.has(name) ? name : null);
    this.columns = known(state.get("columns")) ?? grid.columns;
    this.rows = known(state.get("rows")) ?? (grid.rows === this.columns ? grid.columns : grid.rows);
    if (this.rows === this.columns) this.rows = null;
    /** @type {Map<string, Pair>} */
    this.bounds = new Map();
    for (const text of state.getAll("where")) {
      const match = /^(.*):(\d+)-(\d+)$/.exec(text);
      const size = match ? this.sizes.get(match[1]) : undefined;
      if (match && size !== undefined) this.bounds.set(match[1], [Math.min(+match[2], size), Math.min(+match[3], size)]);
    }
    /** @type {{error_type: string, error_message: string} | null} */
    this.error = state.has("error_type") ? { error_type: state.get("error_type") ?? "", error_message: state.get("error_message") ?? "" } : null;
    /** @type {any} */
    this.data = null;
    /** @type {Pair | null} */
    this.cursor = null;
    /** @type {[Pair, Pair] | null} */
    this.selection = null;
    /** @type {Pair | null} */
    this.drag = null;
    /** @type {string[]} */
    this.rowKeys = [];
    /** @type {string[]} */
    this.columnKeys = [];
    this.rowStep = 1;
    this.columnStep = 1;
    this.wheel = 0;
    this.place = { left: 0, top: 0, pitch: 1, line: 1 };
    /** @type {string | null} */
    this.tipAt = null;
    this.controls = h("div.row");
    // Times have short forms, and a name only where there are other dimensions.
    const named = grid.dimensions.map(({ name, is_time }) => (grid.dimensions.length > 1 ? `${name}=` : "") + (is_time ? "2024-01" : "…"));
    this.field = h("input.mono.grow", {
      type: "search", placeholder: `Partitions, as ${named.join("|")}  ( / )`, "aria-label": "Partitions to show", "aria-describedby": "field-error",
      onkeydown: (event) => {
        if (event.key === "Enter") this.find(this.field.value);
        else if (event.key === "Escape") this.canvas.focus();
      },
    });
    this.wrong = h("div.lost.small", { id: "field-error", role: "alert" });
    this.all = h("button.quiet", { title: "Show all (0)", onclick: () => this.reset() }, "Show all");
    this.canvas = h("canvas", {
      tabindex: 0, role: "application", "aria-label": "Map of partitions. Arrows move, plus and minus zoom, Shift and arrows select, Escape clears.",
    });
    this.tip = h("div.tip", { hidden: true });
    this.legend = h("div.legend");
    this.card = h("div");
    this.element = h("div", this.controls,
      h("div.row", this.field,
        h("span.zoom",
          h("button.quiet", { title: "Zoom in (+)", "aria-label": "Zoom in", onclick: () => this.zoom(0.5) }, "+"),
          h("button.quiet", { title: "Zoom out (−)", "aria-label": "Zoom out", onclick: () => this.zoom(2) }, "−"),
          this.all)),
      this.wrong, h("div.map", this.canvas, this.tip), this.legend, this.card);
    /** @type {Map<string, Promise<string[]>>} */
    this.keyCache = new Map();
    this.listen();
    this.drawControls();
  }

  /** @returns {Pair} */
  part(name = "") {
    return this.bounds.get(name) ?? [0, this.sizes.get(name) ?? 0];
  }

  where() {
    return api.where(Object.fromEntries(this.bounds));
  }

  save() {
    const state = new URLSearchParams();
    if (this.rows && this.rows !== this.grid.rows) state.set("rows", this.rows);
    if (this.columns && this.columns !== this.grid.columns) state.set("columns", this.columns);
    for (const text of this.where()) state.append("where", text);
    if (this.error) for (const [name, text] of Object.entries(this.error)) state.set(name, text);
    this.options.changed(state);
  }

  // What is shown:

  drawControls() {
    const names = this.grid.dimensions.map((dimension) => dimension.name);
    const choose = (label = "", /** @type {"rows" | "columns"} */ which) =>
      h("label.row.small.muted", label,
        h("select", { "aria-label": label, onchange: (event) => this.arrange(which, event.target.value) },
          names.map((name) => h("option", { value: name, selected: name === this[which] }, name))));
    const others = names.filter((name) => name !== this.rows && name !== this.columns);
    put(this.controls,
      names.length > 1 ? [choose("Rows", "rows"), choose("Columns", "columns")] : null,
      others.map((name) => this.slider(name)));
    this.all.disabled = this.bounds.size === 0;
  }

  /** A dimension that is not shown: all of it, or one key. */
  slider(name = "") {
    const size = this.sizes.get(name) ?? 0;
    const fixed = this.bounds.get(name);
    const single = fixed && fixed[1] - fixed[0] === 1;
    const label = h("span.mono", single ? "…" : fixed ? `${count(fixed[1] - fixed[0])} keys` : `all ${count(size)}`);
    if (single) this.keys(name, fixed[0], 1, 1).then(([key]) => put(label, key ?? ""));
    return h("label.row.small.muted", name,
      h("input", {
        type: "range", min: -1, max: size - 1, value: single ? fixed[0] : -1, "aria-label": `${name}: -1 adds all keys up`,
        onchange: (event) => {
          const at = +event.target.value;
          if (at < 0) this.bounds.delete(name);
          else this.bounds.set(name, [at, at + 1]);
          this.changed();
        },
      }), label);
  }

  /** @param {"rows" | "columns"} which @param {string} name */
  arrange(which, name) {
    const other = which === "rows" ? "columns" : "rows";
    if (this[other] === name) this[other] = this[which];
    this[which] = name;
    this.changed();
  }

  changed() {
    this.select(null);
    this.cursor = null;
    this.drawControls();
    this.save();
    this.refresh(true);
  }

  /**
   * Shows only what failed with an error.
   * @param {{error_type: string, error_message: string} | null} error
   */
  filter(error) {
    this.error = error;
    this.cursor = null;
    this.save();
    return this.refresh(true);
  }

  /** @param {{error_type: string, message: string}} group */
  isFiltered(group) {
    return this.error !== null && this.error.error_type === group.error_type && this.error.error_message === group.message;
  }

  reset() {
    this.bounds.clear();
    this.changed();
  }

  /** The coordinates of partitions that are named as on the command line. @returns {Promise<Record<string, Pair>>} */
  locate(keys = "") {
    return api.get(`${this.path}/find`, { keys, asset: this.options.asset }, this.options.signal);
  }

  /** Shows what was typed, and selects it, so that it is counted before anything is done with it. */
  async find(keys = "") {
    try {
      const part = await this.locate(keys);
      this.show(part);
      this.choose(part);
      this.canvas.focus();
      this.say();
    } catch (error) { this.say(messageOf(error)); }
  }

  /** Says what is wrong with what was typed. */
  say(text = "") {
    put(this.wrong, text);
    this.field.setAttribute("aria-invalid", String(text !== ""));
  }

  /** Puts the cursor on a partition. */
  async mark(keys = "") {
    const { data } = this;
    const found = await this.locate(keys).catch(() => null);
    if (!found) return; // A key that is no longer there.
    const at = (/** @type {string | null} */ name, per = 0) => (name === null ? 0 : Math.floor((found[name][0] - this.part(name)[0]) / per));
    const column = at(data.columns, data.per_column);
    this.cursor = data.per_row === 0 ? [column % data.width, Math.floor(column / data.width)] : [column, at(data.rows, data.per_row)];
    this.canvas.scrollIntoView({ block: "nearest" });
  }

  /** Reads the cells again, if anything has changed. */
  async refresh(anew = false) {
    if (this.loading && !anew) { this.again = true; return; }
    if (anew) this.abort?.abort();
    const abort = (this.abort = new AbortController());
    this.loading = true;
    try {
      const space = this.canvas.parentElement.clientWidth || 800;
      const query = { ...this.window(space), rows: this.rows, columns: this.columns, where: this.where(), asset: this.options.asset, ...this.error };
      /** @type {any} */
      const found = await api.cells(`${this.path}/cells`, query, anew ? null : this.data?.tag ?? null, abort.signal);
      if (found) {
        this.data = found;
        await this.readRowKeys();
        this.draw();
      }
    } catch (error) {
      if (!abort.signal.aborted && !this.options.signal.aborted) failed(error);
    } finally {
      if (this.abort === abort) {
        this.loading = false;
        if (this.again) { this.again = false; this.refresh(); }
      }
    }
  }

  /** The number of cells that fit. */
  window(space = 0) {
    if (this.rows === null || this.columns === null) {
      const size = this.columns ? this.length(this.columns) : this.rows ? this.length(this.rows) : 1;
      let cell = WRAP_CELL;
      while (cell > MIN_CELL && Math.floor(space / cell) * Math.floor(MAX_HEIGHT / cell) < size) cell -= 1;
      return { width: Math.max(Math.floor(space / cell), 1), height: Math.max(Math.floor(MAX_HEIGHT / cell), 1) };
    }
    const room = space - this.margin();
    return { width: Math.max(Math.floor(room / MIN_CELL), 1), height: Math.min(this.length(this.rows), Math.floor(MAX_HEIGHT / 4)) || 1 };
  }

  length(name = "") {
    const [start, end] = this.part(name);
    return end - start;
  }

  margin() {
    return this.rows === null || this.columns === null ? 0 : Math.min(130, Math.max((this.canvas.parentElement?.clientWidth || 800) * 0.22, 60));
  }

  async readRowKeys() {
    const { data } = this;
    this.rowKeys = [];
    this.columnKeys = [];
    if (!data) return;
    if (data.rows === null || data.columns === null) {
      const name = data.columns ?? data.rows;
      if (name === null) return;
      const [first, end] = this.part(name);
      this.columnKeys = (await Promise.all([first, end - 1].map((at) => this.keys(name, at, 1, 1)))).flat();
      return;
    }
    const [start] = this.part(data.rows);
    const step = Math.max(Math.ceil(data.height / 22), 1);
    this.rowStep = step;
    this.rowKeys = await this.keys(data.rows, start, data.per_row * step, Math.ceil(data.height / step));
    const labels = Math.max(Math.floor((this.canvas.parentElement.clientWidth - this.margin()) / 120), 1);
    this.columnStep = Math.max(Math.ceil(data.width / labels), 1);
    this.columnKeys = await this.keys(data.columns, this.part(data.columns)[0], data.per_column * this.columnStep, Math.ceil(data.width / this.columnStep));
  }

  /** @returns {Promise<string[]>} */
  async keys(dimension = "", start = 0, step = 0, number = 0) {
    const query = { dimension, start, step, count: Math.min(number, 4096), asset: this.options.asset };
    const name = JSON.stringify(query);
    if (!this.keyCache.has(name)) {
      if (this.keyCache.size > 500) this.keyCache.clear();
      this.keyCache.set(name, api.get(`${this.path}/labels`, query).catch(() => []));
    }
    return this.keyCache.get(name) ?? [];
  }

  draw() {
    if (!this.data) return;
    paint(this);
    this.drawLegend();
    this.canvas.dataset.painted = String(Number(this.canvas.dataset.painted || 0) + 1);
  }

  drawLegend() {
    const { data } = this;
    // Dimensions that are not shown are added up.
    const others = this.grid.dimensions.filter(({ name }) => name !== data.rows && name !== data.columns);
    const each = others.reduce((all, { name }) => all * this.length(name), Math.max(data.per_row, 1) * data.per_column);
    if (this.error) {
      const { failed } = data.totals;
      put(this.legend, h("span", dot("failed"), `${count(failed)} failed with ${this.error.error_type}: ${this.error.error_message}`));
      return;
    }
    put(this.legend,
      counts(data.totals),
      h("span", each > 1 ? `${count(each)} to a cell; a cell shows its worst state, the fainter the smaller its share` : "single partitions"));
  }

  // Input:

  listen() {
    const { canvas } = this;
    const { signal } = this.options;
    const on = (name = "", /** @type {(event: any) => void} */ listener, options = {}) => canvas.addEventListener(name, listener, options);
    on("wheel", (event) => {
      event.preventDefault();
      this.wheel += event.deltaY;
      const at = this.cellAt(event, true);
      clearTimeout(this.wheelTimer);
      this.wheelTimer = setTimeout(() => {
        this.zoom(Math.min(Math.max(1.0025 ** this.wheel, 0.1), 10), at);
        this.wheel = 0;
      }, 40);
    }, { passive: false });
    on("pointerdown", (event) => {
      const at = this.cellAt(event);
      if (!at || event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      this.drag = at;
      this.cursor = null;
      this.selection = [at, at];
      this.draw();
    });
    on("pointermove", (event) => {
      const at = this.cellAt(event, this.drag !== null);
      if (this.drag && at) {
        this.selection = [this.drag, at];
        this.draw();
      }
      this.showTip(at);
    });
    on("pointerup", () => {
      if (this.drag) this.select(this.selection);
      this.drag = null;
    });
    on("pointercancel", () => { this.drag = null; this.select(null); });
    on("pointerleave", () => this.showTip(null));
    on("blur", () => this.showTip(null));
    on("keydown", (event) => { if (this.key(event)) event.preventDefault(); });
    let width = 0;
    const observer = new ResizeObserver(() => {
      const now = canvas.parentElement.clientWidth;
      if (Math.abs(now - width) < 2) return;
      width = now;
      this.refresh(true);
    });
    observer.observe(this.element);
    signal.addEventListener("abort", () => { observer.disconnect(); this.abort?.abort(); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(), { signal });
  }

  /**
   * The keys of a view with a map.
   * @param {string} key @param {import("./dom.js").Verb[]} verbs
   */
  onKey(key, verbs) {
    const verb = verbs.find(([own]) => own === key);
    if (key === "m") this.canvas.focus();
    else if (key === "/") this.field.focus();
    else if (verb) verb[2]();
    else return false;
    return true;
  }

  /** @param {KeyboardEvent} event @returns {boolean} whether the key means something here */
  key(event) {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!this.data || event.ctrlKey || event.metaKey || event.altKey) return false;
    if (move) {
      const [x, y] = this.cursor ?? [-move[0], -move[1]].map((value) => Math.min(value, 0));
      /** @type {Pair} */
      const at = [Math.min(Math.max(x + move[0], 0), this.data.width - 1), Math.min(Math.max(y + move[1], 0), this.data.height - 1)];
      const from = event.shiftKey ? this.selection?.[0] ?? this.cursor ?? at : null;
      this.cursor = at;
      if (from) this.select([from, at]);
      this.draw();
      this.showTip(at);
      return true;
    }
    if (event.key === "+" || event.key === "=") this.zoom(0.5, this.cursor);
    else if (event.key === "-") this.zoom(2, this.cursor);
    else if (event.key === "0") this.reset();
    else if (event.key === "Enter" && this.cursor) this.select([this.cursor, this.cursor]);
    else if (event.key === "Escape") { this.select(null); this.say(); }
    else return false;
    return true;
  }

  /**
   * The cell at a pointer; clamped to the map if `near`.
   * @param {MouseEvent} event @returns {Pair | null}
   */
  cellAt(event, near = false) {
    if (!this.data) return null;
    const box = this.canvas.getBoundingClientRect();
    const { left, top, pitch, line } = this.place;
    let x = Math.floor((event.clientX - box.left - left) / pitch);
    let y = Math.floor((event.clientY - box.top - top) / line);
    if (near) {
      x = Math.min(Math.max(x, 0), this.data.width - 1);
      y = Math.min(Math.max(y, 0), this.data.height - 1);
    }
    return x >= 0 && y >= 0 && x < this.data.width && y < this.data.height ? [x, y] : null;
  }

  /**
   * The coordinates of a box of cells.
   * @param {Pair} a @param {Pair} b @returns {Record<string, Pair>}
   */
  coordinates(a, b) {
    const { data } = this;
    const result = Object.fromEntries(this.bounds);
    const span = (name = "", from = 0, to = 0, per = 0) => {
      const [start, end] = this.part(name);
      result[name] = [Math.min(start + Math.min(from, to) * per, end), Math.min(start + (Math.max(from, to) + 1) * per, end)];
    };
    if (data.per_row === 0) {
      span(data.columns, a[1] * data.width + a[0], b[1] * data.width + b[0], data.per_column);
    } else {
      if (data.columns !== null) span(data.columns, a[0], b[0], data.per_column);
      if (data.rows !== null) span(data.rows, a[1], b[1], data.per_row);
    }
    return result;
  }

  /** @param {[Pair, Pair] | null} cells */
  select(cells) {
    this.selection = cells;
    this.choose(cells && this.coordinates(...cells));
    if (this.data) this.draw();
  }

  /** Counts a part, and names it. */
  count(part = {}) {
    return api.get(`${this.path}/part`, { where: api.where(part), asset: this.options.asset }, this.options.signal);
  }

  /**
   * Shows what can be done with a part, once it has been counted.
   * @param {Record<string, Pair> | null} part
   */
  async choose(part) {
    const own = (this.asked = Symbol("part"));
    /** @type {any} */
    this.chosen = null;
    const found = part && (await this.count(part).catch(failed));
    if (this.asked !== own) return;
    this.field.value = found?.keys ?? "";
    this.chosen = found && { ...found, part };
    put(this.card, found && h("div.selection", { id: "selection" },
      h("b", plural(found.count, "partition")), counts(found.totals), h("span.grow"), this.options.verbs(this.chosen),
      h("button", { onclick: () => this.show(part) }, "Zoom"),
      h("button.quiet", { onclick: () => this.select(null) }, "Clear")));
  }

  /**
   * Shows a part alone.
   * @param {Record<string, Pair>} part
   */
  show(part) {
    for (const [name, own] of Object.entries(part)) {
      if (own[0] === 0 && own[1] === this.sizes.get(name)) this.bounds.delete(name);
      else this.bounds.set(name, own);
    }
    this.changed();
  }

  /**
   * Zooms around a cell.
   * @param {number} factor @param {Pair | null} [at]
   */
  zoom(factor, at) {
    const { data } = this;
    if (!data) return;
    const [x, y] = at ?? [Math.floor(data.width / 2), Math.floor(data.height / 2)];
    const wraps = data.per_row === 0;
    const apply = (/** @type {string | null} */ name, cell = 0, per = 0, cells = 0) => {
      if (name === null) return;
      const size = this.sizes.get(name) ?? 0;
      const [start, end] = this.part(name);
      const length = Math.round(Math.min(Math.max((end - start) * factor, Math.min(8, size)), size));
      const centre = start + (cell + 0.5) * per;
      const first = Math.min(Math.max(Math.round(centre - (length * (cell + 0.5)) / cells), 0), size - length);
      if (length === size) this.bounds.delete(name);
      else this.bounds.set(name, [first, first + length]);
    };
    if (wraps) apply(data.columns, y * data.width + x, data.per_column, data.width * data.height);
    else {
      apply(data.columns, x, data.per_column, data.width);
      // Few rows stay as they are: there is room for all of them.
      if (data.rows !== null && (this.sizes.get(data.rows) ?? 0) > 24) apply(data.rows, y, data.per_row, data.height);
    }
    this.changed();
  }

  /**
   * Shows what is in a cell.
   * @param {Pair | null} at
   */
  showTip(at) {
    clearTimeout(this.tipTimer);
    if (!at) { this.tip.hidden = true; this.tipAt = null; return; }
    const name = at.join();
    if (name === this.tipAt) return;
    this.tipAt = name;
    this.tipTimer = setTimeout(async () => {
      try {
        const { keys, totals } = await this.count(this.coordinates(at, at));
        if (this.tipAt !== name) return;
        put(this.tip, each(keys.split("|"), (key) => h("div.mono", key)), counts(totals));
        this.tip.hidden = false;
        const { left, top, pitch, line } = this.place;
        const space = this.canvas.parentElement.clientWidth;
        const x = Math.min(left + (at[0] + 1) * pitch + 8, space - this.tip.offsetWidth - 4);
        this.tip.style.setProperty("left", `${Math.max(x, 0)}px`);
        this.tip.style.setProperty("top", `${top + (at[1] + 1) * line + 6}px`);
      } catch { /* the next cell is asked for again */ }
    }, 90);
  }
}
