// The page of one training step: draws the recorded arrays, and explains every number with the rule of its operation.
//
// The document (see recording.py) is JSON in #data; each array is text in a <script> of its own, decoded when needed.
// An entry is {t, w, i}: tensor t, its value "v", gradient "g", value after the update "a" or change "d", flat index i.
"use strict";
(() => {
const D = JSON.parse(document.getElementById("data").textContent);
const real = x => typeof x === "string" ? {inf: Infinity, "-inf": -Infinity}[x] ?? NaN : x; // JSON has no word for them
for (const name of ["loss_value", "loss_after"]) D.meta[name] = real(D.meta[name]);
const M = D.meta, P = D.page, T = D.tensors, OPS = D.ops, EVENTS = D.events, END = EVENTS.length, LANE = 352;
const $ = id => document.getElementById(id);
const root = document.documentElement;

function el(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (name === "html") e.innerHTML = value;
    else if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else if (name === "style") e.style.cssText = value;
    else e.setAttribute(name === "cls" ? "class" : name, value);
  }
  e.append(...children.filter(c => c != null));
  return e;
}
const esc = s => String(s).replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);
const R = (t, w, i) => ({t, w, i});
const most = values => values.reduce((a, v) => Math.abs(v) < Infinity ? Math.max(a, Math.abs(v)) : a, 0); // the largest finite |v|
const product = sizes => sizes.reduce((a, b) => a * b, 1);

// --- arrays ----------------------------------------------------------------------------------------------------------
const KINDS = {f4: Float32Array, f8: Float64Array, i8: BigInt64Array, i4: Int32Array, i2: Int16Array, i1: Int8Array,
  u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, b1: Uint8Array};
const decoded = new Map(), inflated = new Map(), derived = new Map();

const DIGIT = new Uint8Array(127); // 13 bits stand in 2 of 91 characters
for (let code = 33, k = 0; code < 127; code++) if (!'"&<'.includes(String.fromCharCode(code))) DIGIT[code] = k++;
function textBytes(id) {
  const text = $("blob-" + id).textContent, bytes = new Uint8Array(D.blobs[id].bytes);
  for (let i = 0, to = 0, held = 0, bits = 0; i < text.length; i += 2) {
    held |= DIGIT[text.charCodeAt(i)] + 91 * DIGIT[text.charCodeAt(i + 1)] << bits;
    for (bits += 13; bits >= 8; bits -= 8, held >>>= 8) bytes[to++] = held; // what is past the end is dropped
  }
  return bytes;
}
// Compressed arrays hold all first bytes of their numbers, then all second bytes, and so on: this puts them together.
// The sign of a float32 stands at its end.
async function inflate(id) {
  const {dtype, n} = D.blobs[id], width = KINDS[dtype].BYTES_PER_ELEMENT;
  const stream = new Blob([textBytes(id)]).stream().pipeThrough(new DecompressionStream("gzip"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer()), bytes = new Uint8Array(planes.length);
  for (let k = 0; k < width; k++) for (let i = 0, to = k, from = k * n; i < n; i++, to += width) bytes[to] = planes[from + i];
  if (dtype === "f4") { const turned = new Uint32Array(bytes.buffer); for (let i = 0; i < n; i++) turned[i] = turned[i] >>> 1 | turned[i] << 31; }
  inflated.set(id, bytes);
}
const stored = ref => D.blobs[ref.blob].same ?? ref.blob; // equal arrays stand in the page once
function blob(ref) {
  const id = stored(ref);
  if (!decoded.has(id)) {
    const {dtype} = D.blobs[id], numbers = new KINDS[dtype]((inflated.get(id) ?? textBytes(id)).buffer);
    decoded.set(id, dtype === "i8" ? Float64Array.from(numbers, Number) : numbers);
    inflated.delete(id);
  }
  return decoded.get(id);
}
function entryOf(ref, i) { // of an array; null where the page holds only some of its entries, and not this one
  const {of} = D.blobs[ref.blob], k = of == null ? i : blob({blob: of}).indexOf(i);
  return k < 0 ? null : Number(blob(ref)[k]);
}
const FIELD = {v: "value", g: "grad", a: "after"};
function numbers(t, w) { // null where the array does not exist
  const key = w + t, ref = T[t][FIELD[w]];
  if (w === "u") return T[t].used ? blob(T[t].used) : numbers(t, "g");
  if (w !== "d" && (!ref || !ref.how)) return ref && blob(ref);
  if (!derived.has(key)) derived.set(key, w !== "d" ? DERIVED[ref.how](t, ref) : has(t, "a") ? numbers(t, "a").map((v, i) => v - numbers(t, "v")[i]) : null);
  return derived.get(key);
}
// Arrays that are not stored, because others determine their bits: the page's writer has done the same operations, and
// compared. "sum" and "near" store how far the bits are from what is computed here, which takes little room.
const DERIVED = {
  relu: (t, {x}) => numbers(x, "v").map(v => v > 0 ? v : 0),
  relu_gradient: (t, {grad}) => { const x = numbers(t, "v"); return numbers(grad, "g").map((g, i) => x[i] > 0 ? g : 0); },
  sgd: (t, {lr}) => { const rate = Math.fround(lr), g = numbers(t, "g"); return numbers(t, "v").map((v, i) => v - Math.fround(rate * g[i])); },
  near: (t, ref) => shifted(numbers(t, "v").slice(), blob(ref)),
  sum(t, {blob: id, times, grad, sizes: [K, R, C], over}) { // a Float32Array rounds after each addition, as fused multiply-add does
    const a = numbers(times, "v"), g = numbers(grad, "g"), total = new Float32Array(R * C), [k1, r1] = over === "samples" ? [R, 1] : [1, K];
    for (let r = 0; r < R; r++) {
      const row = total.subarray(r * C, r * C + C);
      for (let k = 0, by; k < K; k++) if ((by = g[k * k1 + r * r1]) !== 0) for (let c = 0, from = k * C; c < C; c++) row[c] += by * a[from + c];
    }
    return shifted(total, blob({blob: id}));
  },
};
function shifted(array, distance) { // floats whose bits are at a distance, in the order of the numbers
  const bits = new Int32Array(array.buffer), ordered = b => b < 0 ? ~(b & 0x7fffffff) : b; // its own inverse
  for (let k = 0; k < bits.length; k++) { const d = distance[k]; if (d) bits[k] = ordered(ordered(bits[k]) + (d & 1 ? -((d + 1) / 2) : d / 2)); }
  return array;
}
function sources(t, w) { // the arrays that another is derived from
  const ref = T[t][FIELD[w]];
  return w === "d" ? [[t, "v"], [t, "a"]] : {relu: () => [[ref.x, "v"]], relu_gradient: () => [[t, "v"], [ref.grad, "g"]], sgd: () => [[t, "v"], [t, "g"]], near: () => [[t, "v"]], sum: () => [[ref.times, "v"], [ref.grad, "g"]]}[ref?.how]?.() ?? [];
}
const has = (t, w) => Boolean({v: T[t].value, g: T[t].grad, a: T[t].after, d: T[t].after}[w]);
const val = r => numbers(r.t, r.w)[r.i];
const statOf = {v: "value", g: "grad", a: "after", d: "change"};
const largest = (t, w) => T[t].stats[statOf[w]]?.[0] ?? 0;
const strangeOf = (t, w) => T[t].strange[FIELD[w] ?? "after"]; // how many are nan, how many infinite, and the first
const norm = (t, w) => strangeOf(t, w) ? NaN : T[t].stats[statOf[w]]?.[1] ?? 0;

// --- numbers as text -------------------------------------------------------------------------------------------------
const SUPERSCRIPT = {"-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹"};
const sup = n => String(n).replace(/./g, c => SUPERSCRIPT[c]);
const odd = v => v > 0 ? "inf" : v < 0 ? "−inf" : "nan"; // as Python writes them
function fmt(v, digits = 6, keep = false) {
  if (!Number.isFinite(v)) return odd(v);
  if (v === 0) return "0";
  let size = Math.abs(v), text;
  if (size < 1e-4 || size >= 1e7) {
    const [mantissa, exponent] = size.toExponential(Math.min(digits, 6) - 1).split("e");
    text = (keep ? mantissa : mantissa.replace(/\.?0+$/, "")) + "·10" + sup(+exponent);
  } else {
    text = Number.isInteger(size) && !keep ? String(size) : size.toPrecision(Math.max(digits, size >= 1 ? Math.floor(Math.log10(size)) + 1 : 1));
    if (!keep && text.includes(".")) text = text.replace(/0+$/, "").replace(/\.$/, "");
  }
  return (v < 0 ? "−" : "") + text.replace(/\.$/, "");
}
const pair = (a, b, digits = 4) => fmt(a, digits, true) !== fmt(b, digits, true) || a === b || digits > 8 || !Number.isFinite(a - b) ? [fmt(a, digits, true), fmt(b, digits, true)] : pair(a, b, digits + 1); // with as many digits as tell them apart
const column = v => fmt(v, 4, true), signed = v => (v > 0 ? "+" : "") + column(v);
function exact(v) { // the shortest decimal that gives this float32
  for (let p = 1; p < 10; p++) if (Math.fround(+v.toPrecision(p)) === v) return v.toPrecision(p);
  return String(v);
}
const unit = m => m === 0 || (m >= 0.1 && m < 100) ? 0 : Math.floor(Math.log10(m)); // cells show v / 10^unit
function cellText(v, power, whole) {
  if (!Number.isFinite(v)) return odd(v);
  if (v === 0 || whole) return (v < 0 ? "−" : "") + Math.abs(v);
  const size = Math.abs(v) / 10 ** power;
  return (v < 0 && size >= .005 ? "−" : "") + size.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

// --- names -----------------------------------------------------------------------------------------------------------
const letters = t => T[t].name.match(/^(.*?)(\d*)$/);
function nice(t) {
  const [, base, digits] = letters(t), log = base.match(/^log\s*(.+)$/);
  return (log ? `<span class="rm">log</span>&thinsp;<var>${esc(log[1])}</var>` : `<var>${esc(base)}</var>`) + (digits && `<sub>${digits}</sub>`);
}
const heading = (t, w) => w === "g" ? `<span class="rm">d</span><var>L</var><span class="rm">/d</span>${nice(t)}` :
  w === "a" ? `${nice(t)} after` : w === "d" ? `<span class="rm">Δ</span>${nice(t)}` : nice(t);
function position(t, i) {
  const at = [];
  for (const size of [...T[t].shape].reverse()) { at.unshift(i % size); i = Math.floor(i / size); }
  return at;
}
const brackets = r => T[r.t].shape.length ? `[${position(r.t, r.i).join(", ")}]` : "";
const nameHtml = r => heading(r.t, r.w === "a" ? "v" : r.w) + `<span class="ix">${brackets(r)}</span>` + (r.w === "a" ? " after" : "");
const nameText = r => ({v: "", g: "dL/d", a: "", d: "Δ"})[r.w] + T[r.t].name + brackets(r) + (r.w === "a" ? " after" : "");
const shapeText = t => T[t].shape.join(" × ");
const className = c => c == null ? "nan" : P.classes?.[c] ?? String(c);

// --- colours: one scale for each array, symmetric about 0, neutral at 0 ----------------------------------------------
const linear = c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
const gamma = c => c <= .0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - .055;
function toOklab(hex) {
  const [r, g, b] = [1, 3, 5].map(k => linear(parseInt(hex.slice(k, k + 2), 16) / 255));
  const l = Math.cbrt(.4122214708 * r + .5363325363 * g + .0514459929 * b);
  const m = Math.cbrt(.2119034982 * r + .6806995451 * g + .1073969566 * b);
  const s = Math.cbrt(.0883024619 * r + .2817188376 * g + .6299787005 * b);
  return [.2104542553 * l + .793617785 * m - .0040720468 * s, 1.9779984951 * l - 2.428592205 * m + .4505937099 * s,
    .0259040371 * l + .7827717662 * m - .808675766 * s];
}
function toRgb([L, a, b]) {
  const l = (L + .3963377774 * a + .2158037573 * b) ** 3, m = (L - .1055613458 * a - .0638541728 * b) ** 3;
  const s = (L - .0894841775 * a - 1.291485548 * b) ** 3;
  return [4.0767416621 * l - 3.3077115913 * m + .2309699292 * s, -1.2684380046 * l + 2.6097574011 * m - .3413193965 * s,
    -.0041960863 * l - .7034186147 * m + 1.707614701 * s].map(c => Math.round(255 * gamma(Math.min(1, Math.max(0, c)))));
}
function ramp(stops) {
  const labs = stops.map(toOklab);
  return Array.from({length: 256}, (_, k) => {
    const x = k / 255 * (labs.length - 1), from = Math.min(labs.length - 2, Math.floor(x));
    return toRgb(labs[from].map((c, j) => c + (labs[from + 1][j] - c) * (x - from)));
  });
}
const SCALES = {
  light: {up: ["#f0eeea", "#8fbfe8", "#2f7fc8", "#0b3f82"], down: ["#f0eeea", "#f4bd86", "#d9752a", "#84360a"], ink: ["#f4f2ee", "#17181c"]},
  dark: {up: ["#24272d", "#1f5fa8", "#5fb0ff", "#d3eaff"], down: ["#24272d", "#94501a", "#f39a4a", "#ffe3c2"], ink: ["#1d1f24", "#f1efe9"]},
};
let UP, DOWN, INK, TABLE, INKTABLE, ink, ink3;
function setTheme(name) {
  root.dataset.theme = name;
  [UP, DOWN, INK] = ["up", "down", "ink"].map(k => ramp(SCALES[name][k]));
  const packed = c => (0xff000000 | c[2] << 16 | c[1] << 8 | c[0]) >>> 0;
  TABLE = Uint32Array.from({length: 511}, (_, k) => packed(k < 255 ? DOWN[255 - k] : UP[k - 255]));
  INKTABLE = Uint32Array.from({length: 511}, (_, k) => packed(INK[Math.max(0, k - 255)]));
  const style = getComputedStyle(root);
  ink = style.getPropertyValue("--ink").trim(); ink3 = style.getPropertyValue("--ink3").trim();
}
const pixels = (t, w) => w === "v" && T[t].pixels; // values from 0 to 1, drawn as ink on paper
const clamp = x => Math.max(-255, Math.min(255, Math.round(x)));
function colour(v, end, inked) {
  const k = clamp(255 * v / (inked ? 1 : end || 1));
  return inked ? INK[Math.max(0, k)] : k < 0 ? DOWN[-k] : UP[k];
}
const css = c => `rgb(${c[0]},${c[1]},${c[2]})`;
function onCell(c) { // at least 4.5 to 1
  const [r, g, b] = c.map(x => linear(x / 255));
  return .2126 * r + .7152 * g + .0722 * b < .179 ? "#fff" : "#101216";
}
const FONT = "ui-sans-serif,system-ui,'Liberation Sans',sans-serif";

// --- what is chosen --------------------------------------------------------------------------------------------------
const S = {n: P.first ?? 0, sel: null, at: END, past: [], why: null};
const views = [], scales = [];
const NEAR = "IntersectionObserver" in window ? new IntersectionObserver(changes => {
  for (const c of changes) { c.target.view.near = c.isIntersecting; if (c.isIntersecting) c.target.view.paint(); }
}, {rootMargin: "600px"}) : null;

// When an array is computed: the number of events by then.
const forwardAt = OPS.map((_, k) => EVENTS.findIndex(e => e.kind === "forward" && e.op === k) + 1);
const backwardAt = OPS.map((_, k) => EVENTS.findIndex(e => e.kind === "backward" && e.op === k) + 1);
const FORWARDS = Math.max(0, ...forwardAt);
function timeOf(t, w) {
  if (w === "v") return T[t].made_by == null ? 0 : forwardAt[T[t].made_by];
  if (w === "g") return Math.max(FORWARDS, ...T[t].used_by.map(([k]) => backwardAt[k]));
  return END;
}
const waits = (t, w) => timeOf(t, w) > S.at || !arrived(t, w);
// Large arrays are unpacked after the first picture.
const unpacked = id => !D.blobs[id].zip || inflated.has(id) || decoded.has(id);
function arrived(t, w) {
  const ref = T[t][FIELD[w]];
  return !S.late || ((ref?.blob == null || unpacked(stored(ref))) && sources(t, w).every(([t, w]) => arrived(t, w)));
}

// --- a picture of an array -------------------------------------------------------------------------------------------
// Tiles of rows × cols cells, each for one entry. kind: "sample" shows the chosen sample of a batch, "batch" a row for
// each sample, "all" an array that has no samples. The box is a grid whose one active cell is the chosen entry.
let cells = 0;
class View {
  constructor(host, t, w, kind, {width = LANE, most = 44} = {}) {
    Object.assign(this, {t, w, kind, near: !NEAR, stale: true});
    const x = T[t], count = product(x.shape), [tiles, rows, cols, size] = x.grid;
    if (kind === "batch") Object.assign(this, {tiles: 1, rows: P.samples, cols: count / P.samples, size: count});
    else Object.assign(this, {tiles, rows, cols, size});
    this.count = count;
    this.labels = kind !== "batch" && this.tiles === 1 && rows === 1 && P.classes?.length === cols && x.per_class;
    const many = this.tiles > 1;
    if (kind === "batch") { this.per = 1; this.cw = width / this.cols; if (this.cw >= 1) this.cw = Math.floor(this.cw * 4) / 4; this.ch = P.samples <= 24 ? 5 : 2; }
    else {
      this.per = !many ? 1 : x.per ?? (this.tiles <= 16 ? Math.min(this.tiles, 5) : cols <= 10 ? 8 : Math.max(1, Math.floor(width / (cols + 2))));
      this.gutter = many ? 2 : 0;
      let cell = Math.floor((width / this.per - this.gutter) / cols * 4) / 4;
      cell = cell >= 1 ? Math.floor(cell) : cell;
      if (many) cell = Math.min(cell, 24);
      this.cw = Math.min(cell, most); this.ch = this.cw;
      if (this.cw >= 30) this.ch = rows === 1 ? 32 : 24;
      else if (!many) this.cw = this.ch = Math.min(this.cw, rows === 1 ? 24 : Math.max(4, Math.min(12, Math.floor(264 / rows))));
      if (!many && this.cw === this.ch && rows * this.ch > 420 && this.cw >= 1) this.scrolls = true;
    }
    this.text = (this.cw >= 30 || (x.whole && this.cw >= 14)) && kind !== "batch"; if (x.whole && this.text) this.ch = 24; this.gap = this.cw >= 10 && kind !== "batch" ? 1 : 0; this.gutter ??= 0;
    this.top = this.labels ? 15 : many && this.tiles <= 16 && x.shape.length === 2 ? 14 : 0;
    this.px = Math.floor(cols * this.cw) + this.gutter || 1; if (kind === "batch") this.px = this.cols * this.cw;
    this.py = this.rows * this.ch + this.top + this.gutter;
    this.W = Math.max(1, Math.ceil(this.per * this.px - this.gutter)); this.H = Math.max(1, Math.ceil(this.tiles / this.per) * this.py - this.gutter);
    if (!x.shape.length) { this.scalar = true; this.W = 132; this.H = 54; }
    this.box = el("div", {cls: "view", role: "grid", tabindex: 0, "aria-label": `${nameText(R(t, w, 0)).replace(/\[.*\]/, "")}${shapeText(t) ? ", " + x.shape.join(" by ") : ""}${kind === "batch" ? ", the whole batch" : kind === "sample" ? ", one sample" : ""}; the arrow keys choose an entry, Enter goes to its terms`});
    if (this.H > 420 || this.scrolls) this.box.classList.add("scroll");
    this.box.setAttribute("aria-rowcount", this.rows * Math.ceil(this.tiles / this.per)); this.box.setAttribute("aria-colcount", this.cols * this.per);
    this.canvas = el("canvas", {"aria-hidden": "true"});
    this.cell = el("div", {role: "gridcell", id: `cell-${++cells}`});
    this.box.append(this.canvas, el("div", {role: "row", cls: "vh"}, this.cell));
    this.ratio = Math.min(2, Math.max(1, window.devicePixelRatio || 1));
    this.canvas.style.cssText = `width:${this.W}px;height:${this.H}px`;
    this.canvas.addEventListener("pointermove", e => { const i = this.hit(e.offsetX, e.offsetY); tip(i == null || waits(t, w) ? null : e, i == null ? "" : () => `${nameHtml(R(t, w, i))} = ${fmt(numbers(t, w)[i])}`); });
    this.canvas.addEventListener("pointerleave", () => tip(null));
    this.canvas.addEventListener("click", e => { const i = this.hit(e.offsetX, e.offsetY); if (i != null) select(R(t, w, i), {view: this}); });
    this.box.addEventListener("keydown", e => this.key(e));
    this.box.addEventListener("focus", () => { if (!this.cell.textContent) this.announce(this.base); });
    this.box.view = this; host.append(this.box); views.push(this);
    if (NEAR) NEAR.observe(this.box);
  }
  get base() { return this.kind === "sample" ? S.n * this.tiles * this.size : 0; }
  index(tile, r, c) { const k = r * this.cols + c; return k < this.size ? this.base + tile * this.size + k : null; }
  hit(x, y) {
    if (this.scalar) return 0;
    const across = Math.floor(x / this.px), tile = Math.floor(y / this.py) * this.per + across;
    const c = Math.floor((x - across * this.px) / this.cw), r = Math.floor((y % this.py - this.top) / this.ch);
    if (across >= this.per || tile >= this.tiles || c < 0 || r < 0 || c >= this.cols || r >= this.rows) return null;
    return this.index(tile, r, c);
  }
  place(i) { // [row, column] of an entry among all cells; null if its sample is not shown
    const k = i - this.base;
    if (k < 0 || k >= this.tiles * this.size) return null;
    const tile = Math.floor(k / this.size), j = k % this.size;
    return [Math.floor(tile / this.per) * this.rows + Math.floor(j / this.cols), (tile % this.per) * this.cols + j % this.cols];
  }
  rect(i) {
    if (this.scalar) return [0, 0, this.W, this.H];
    const at = this.place(i);
    if (!at) return null;
    const [r, c] = at, x = Math.floor(c / this.cols) * this.px + (c % this.cols) * this.cw;
    const y = Math.floor(r / this.rows) * this.py + this.top + (r % this.rows) * this.ch;
    return [x, y, this.cw - this.gap, this.ch - this.gap];
  }
  key(e) {
    const move = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[e.key];
    const far = {Home: 0, End: this.tiles * this.size - 1}[e.key];
    if (!move && far == null && e.key !== "Enter") return;
    e.preventDefault(); e.stopPropagation();
    if (e.key === "Enter" && this.anchor && S.sel) { enter(); return; }
    let i = S.sel && S.sel.t === this.t && S.sel.w === this.w && this.place(S.sel.i) ? S.sel.i : null;
    if (far != null) i = this.base + far;
    else if (i == null) i = this.base;
    else if (move) {
      const [r, c] = this.place(i).map((k, axis) => k + move[axis]);
      if (r < 0 || c < 0 || c >= this.cols * this.per) return;
      const tile = Math.floor(r / this.rows) * this.per + Math.floor(c / this.cols);
      i = tile < this.tiles ? this.index(tile, r % this.rows, c % this.cols) : null;
      if (i == null) return;
    }
    select(R(this.t, this.w, i), {keep: true, view: this, scroll: true});
    this.box.focus({preventScroll: true});
  }
  announce(i) {
    const at = this.place(i) ?? [0, 0];
    this.cell.textContent = waits(this.t, this.w) ? `${nameText(R(this.t, this.w, i))} is not computed yet` : `${nameText(R(this.t, this.w, i))} is ${fmt(numbers(this.t, this.w)[i])}`;
    this.cell.setAttribute("aria-rowindex", at[0] + 1); this.cell.setAttribute("aria-colindex", at[1] + 1);
    this.box.setAttribute("aria-activedescendant", this.cell.id);
  }
  draw() { this.stale = true; if (this.near) this.paint(); }
  paint() {
    if (!this.stale) return;
    this.stale = false;
    const {canvas, ratio, t, w} = this, g = canvas.getContext("2d"), future = waits(t, w);
    if (canvas.width !== Math.round(this.W * ratio)) { canvas.width = Math.round(this.W * ratio); canvas.height = Math.round(this.H * ratio); }
    g.setTransform(ratio, 0, 0, ratio, 0, 0); g.clearRect(0, 0, this.W, this.H);
    this.box.classList.toggle("future", future);
    const a = future ? null : numbers(t, w), end = largest(t, w), inked = pixels(t, w);
    if (this.scalar) {
      g.fillStyle = css(UP[0]); g.beginPath(); g.roundRect(0, 0, this.W, this.H, 7); g.fill();
      if (a && !Number.isFinite(a[0])) { hatch(g, 0, 0, this.W, this.H); g.fillStyle = css(UP[0]); g.fillRect(this.W / 2 - 26, this.H / 2 - 13, 52, 26); }
      g.fillStyle = ink; g.font = `600 20px ${FONT}`; g.textBaseline = "middle"; g.textAlign = "center";
      g.fillText(future ? "" : fmt(a[0]), this.W / 2, this.H / 2 + 1); return;
    }
    if (this.gap) this.paintCells(g, a, end, inked); else this.paintPixels(g, a, end, inked);
    if (this.top) this.paintLabels(g);
  }
  paintCells(g, a, end, inked) {
    const power = unit(end), whole = T[this.t].whole;
    g.textBaseline = "middle"; g.textAlign = "center"; g.font = `${this.cw < 40 ? 10.5 : 11.5}px ${FONT}`;
    for (let tile = 0; tile < this.tiles; tile++) for (let k = 0; k < this.size; k++) {
      const i = this.base + tile * this.size + k, v = a ? a[i] : 0, [x, y, w, h] = this.rect(i), c = Number.isFinite(v) ? colour(whole ? 0 : v, end, inked) : UP[0];
      g.fillStyle = css(c);
      if (this.cw >= 20) { g.beginPath(); g.roundRect(x, y, w, h, 2.5); g.fill(); } else g.fillRect(x, y, w, h);
      if (!Number.isFinite(v)) {
        hatch(g, x, y, w, h);
        if (this.text) { g.fillStyle = css(UP[0]); g.fillRect(x + w / 2 - 13, y + h / 2 - 7, 26, 14); }
      }
      if (!a || !this.text) continue;
      g.fillStyle = !Number.isFinite(v) ? ink : v === 0 && !inked && root.dataset.theme === "light" ? ink3 : onCell(c);
      g.fillText(cellText(v, power, whole), x + w / 2, y + h / 2 + .5);
    }
  }
  paintPixels(target, a, end, inked) { // one pixel for each entry, then scaled
    const whole = document.createElement("canvas"), g = whole.getContext("2d"), {ratio} = this; // one picture of all tiles: paper would repeat each tile's drawing
    whole.width = Math.round(this.W * ratio); whole.height = Math.round(this.H * ratio); g.setTransform(ratio, 0, 0, ratio, 0, 0);
    const wide = this.per * this.cols, high = Math.ceil(this.tiles / this.per) * this.rows;
    const image = new ImageData(wide, high), pixel = new Uint32Array(image.data.buffer), table = inked ? INKTABLE : TABLE;
    const factor = inked ? 255 : end ? 255 / end : 0, {size, cols, per, base} = this, hatched = new Set();
    for (let tile = 0; tile < this.tiles; tile++) {
      const from = base + tile * size, to = Math.floor(tile / per) * this.rows * wide + (tile % per) * cols;
      for (let k = 0, r = 0; k < size; r += wide) for (let c = 0; c < cols && k < size; c++, k++) {
        const v = a ? a[from + k] : 0;
        if (v - v === 0) pixel[to + r + c] = table[255 + clamp(v * factor)]; else hatched.add(tile); // else it stays transparent
      }
    }
    const sheet = document.createElement("canvas");
    sheet.width = wide; sheet.height = high; sheet.getContext("2d").putImageData(image, 0, 0);
    g.imageSmoothingEnabled = this.cw < 1;
    for (let tile = 0; tile < this.tiles; tile++) {
      const across = tile % per, down = Math.floor(tile / per), x = across * this.px, y = down * this.py + this.top, w = cols * this.cw, h = this.rows * this.ch;
      if (hatched.has(tile)) hatch(g, x, y, w, Math.ceil(size / cols) * this.ch);
      g.drawImage(sheet, across * cols, down * this.rows, cols, this.rows, x, y, w, h);
    }
    target.drawImage(whole, 0, 0, this.W, this.H);
  }
  paintLabels(g) {
    g.textBaseline = "alphabetic"; g.font = `11.5px ${FONT}`;
    if (!this.labels) { g.textAlign = "left"; g.fillStyle = ink3; for (let tile = 0; tile < this.tiles; tile++) g.fillText(T[this.t].per_class && P.classes?.length === this.tiles ? short(className(tile), 9) : tile, (tile % this.per) * this.px, Math.floor(tile / this.per) * this.py + 10); return; }
    g.textAlign = "center";
    for (let c = 0; c < this.cols; c++) {
      const right = this.kind === "sample" && labelOf(S.n) === c;
      g.fillStyle = right ? ink : ink3; g.font = `${right ? 700 : 400} ${P.longClasses ? 9.5 : 11.5}px ${FONT}`;
      g.fillText((right && !P.longClasses ? "" : "") + short(className(c), P.longClasses ? 6 : 3) + (right && !P.longClasses ? " ✓" : ""), (c + .5) * this.cw, 10);
    }
  }
  mark() {
    this.box.querySelectorAll(".hl").forEach(e => e.remove());
    this.anchor = this.part = null;
    const add = (r, cls, c) => {
      const pad = cls !== "row" && r[2] < 8 ? 1 : 0, d = el("div", {cls: "hl " + cls});
      d.style.cssText = `left:${r[0] - pad}px;top:${r[1] - pad}px;width:${r[2] + 2 * pad}px;height:${r[3] + 2 * pad}px`;
      if (c) d.style.setProperty("--c", c);
      this.box.append(d);
    };
    if (this.kind === "batch") add([0, S.n * this.ch, this.W, this.ch], "row");
    else if (T[this.t].batched && T[this.t].shape.length === 1) add(this.rect(S.n), "row");
    for (const p of S.why?.parts ?? []) if (p.t === this.t && p.w === this.w) for (const r of this.outline(p.entries)) {
      add(r, "part", p.w === "g" ? "var(--bwd)" : "var(--fwd)"); this.part ??= r;
    }
    if (S.sel && S.sel.t === this.t && S.sel.w === this.w) {
      const r = this.rect(S.sel.i);
      if (r) { add(r, "sel"); this.anchor = r; this.announce(S.sel.i); if (this.box.classList.contains("scroll") && (r[1] < this.box.scrollTop || r[1] > this.box.scrollTop + 280)) this.box.scrollTop = Math.max(0, r[1] - 140); }
    }
  }
  merge(rects, axis) { // join those that adjoin along an axis, 0 across or 1 down, and agree in the other
    const other = 1 - axis, joined = [];
    for (const r of [...rects].sort((a, b) => a[other] - b[other] || a[axis] - b[axis])) {
      const last = joined.at(-1), near = last && r[axis] - last[axis] - last[axis + 2] <= this.gap + .01 && r[other] === last[other] && r[other + 2] === last[other + 2];
      if (near) last[axis + 2] = r[axis] + r[axis + 2] - last[axis]; else joined.push([...r]);
    }
    return joined;
  }
  outline(entries) { // one rectangle around entries that fill it, else one around each
    const rects = entries.map(i => this.rect(i)).filter(Boolean);
    if (rects.length < 2) return rects;
    const x0 = Math.min(...rects.map(r => r[0])), y0 = Math.min(...rects.map(r => r[1]));
    const x1 = Math.max(...rects.map(r => r[0] + r[2])), y1 = Math.max(...rects.map(r => r[1] + r[3]));
    const filled = rects.length * this.cw * this.ch / ((x1 - x0 + this.gap) * (y1 - y0 + this.gap));
    if (filled > .95) return [[x0, y0, Math.max(2, x1 - x0), y1 - y0]];
    const merged = this.merge(this.merge(rects, 1), 0);
    return merged.length <= 60 ? merged : [];
  }
}
const short = (s, n) => s.length > n + 1 ? s.slice(0, n) + "…" : s;
function hatch(g, x, y, w, h) { // nan or infinite
  g.save(); g.beginPath(); g.rect(x, y, w, h); g.clip(); g.fillStyle = css(UP[0]); g.fillRect(x, y, w, h); g.strokeStyle = ink3; g.lineWidth = 1; g.beginPath();
  for (let k = -h; k < w; k += 4) { g.moveTo(x + k, y + h); g.lineTo(x + k + h, y); }
  g.stroke(); g.restore();
}
function tip(e, html) {
  const d = $("tip");
  d.classList.toggle("on", Boolean(e));
  if (!e) return;
  d.innerHTML = html();
  d.style.left = Math.min(e.clientX + 14, innerWidth - d.offsetWidth - 8) + "px";
  d.style.top = (e.clientY < 44 ? e.clientY + 18 : e.clientY - 34) + "px";
}

// --- samples ---------------------------------------------------------------------------------------------------------
const labelOf = n => P.labels == null ? null : numbers(P.labels, "v")[n];
const row = (t, n) => { const size = product(T[t].shape.slice(1)); return numbers(t, "v").subarray(n * size, (n + 1) * size); };
const best = n => { const z = row(P.scores, n); if (z.some(Number.isNaN)) return null; let k = 0; for (let c = 1; c < z.length; c++) if (z[c] > z[k]) k = c; return k; };
const wrong = n => P.scores != null && P.labels != null && best(n) !== labelOf(n);
function probabilities(z) { const m = Math.max(...z), e = Array.from(z, v => Math.exp(v - m)), s = e.reduce((a, b) => a + b, 0); return e.map(v => v / s); }
function thumb(n, side) {
  if (P.image == null) return null;
  const {tensor, shape: [h, w]} = P.image, size = product(T[tensor].shape.slice(1)), a = numbers(tensor, "v"), end = largest(tensor, "v");
  const image = new ImageData(w, h), pixel = new Uint32Array(image.data.buffer), inked = T[tensor].pixels;
  for (let k = 0; k < w * h; k++) pixel[k] = inked ? INKTABLE[255 + clamp(255 * a[n * size + k])] : TABLE[255 + clamp(255 * a[n * size + k] / (end || 1))];
  const c = el("canvas", {"aria-hidden": "true", width: w, height: h});
  c.getContext("2d").putImageData(image, 0, 0);
  c.style.cssText = `width:${Math.round(side * w / Math.max(h, w))}px;height:${Math.round(side * h / Math.max(h, w))}px;image-rendering:${h > side ? "auto" : "pixelated"};flex:none`;
  return c;
}
const sampleName = n => `sample ${n}` + (labelOf(n) == null || P.classes == null ? "" : ` (label ${className(labelOf(n))}` + (wrong(n) ? `, taken for ${className(best(n))})` : ")"));
const oneColumn = () => innerWidth <= 1267; // as in step.css
function drawSamples() {
  const host = $("samples");
  if (!P.samples) { host?.remove(); return; }
  host.replaceChildren();
  const small = oneColumn() || P.samples > 24;
  for (let n = 0; n < P.samples; n++) {
    const off = wrong(n), text = labelOf(n) == null || P.classes == null || P.samples > 32 || P.longClasses ? (P.image ? (off ? "✗" : "") : n) : off ? `${className(labelOf(n))}→${className(best(n))}` : className(labelOf(n));
    host.append(el("button", {role: "radio", cls: off && "wrong", "aria-label": sampleName(n), title: sampleName(n), onclick: () => sample(n)}, thumb(n, small ? 24 : 30), el("span", {}, String(text))));
  }
  markSamples();
}
function markSamples() {
  [...$("samples")?.children ?? []].forEach((b, n) => { b.setAttribute("aria-checked", n === S.n); b.classList.toggle("most", n === S.most); b.tabIndex = n === S.n ? 0 : -1; });
  const b = $("samples")?.children[S.n]; // not scrollIntoView: it would scroll the page, too
  if (b && (b.offsetLeft < b.parentNode.scrollLeft || b.offsetLeft + 40 > b.parentNode.scrollLeft + b.parentNode.clientWidth)) b.parentNode.scrollLeft = b.offsetLeft - 100;
}
function sample(n) {
  if (!P.samples || n < 0 || n >= P.samples) return;
  const {sel} = S, per = sel && T[sel.t].batched ? product(T[sel.t].shape.slice(1)) : 0;
  S.n = n; showSample();
  if (per) select(R(sel.t, sel.w, n * per + sel.i % per), {keep: true, still: true}); else refresh();
}
function showSample() {
  markSamples();
  for (const v of views) if (v.kind === "sample") { v.cell.textContent = ""; v.draw(); }
  document.querySelectorAll(".caps").forEach(c => { c.textContent = `sample ${S.n}${c.dataset.unit}`; });
  const p = $("probs");
  if (!p || P.scores == null) return;
  p.replaceChildren();
  if (forwardAt[T[P.scores].made_by] > S.at) return;
  const likely = probabilities(row(P.scores, S.n)), label = labelOf(S.n), say = best(S.n);
  p.append(el("p", {html: label == null ? `The network says <b>${esc(className(say))}</b>.` : `It is a <b>${esc(className(label))}</b>; the network says <b>${esc(className(say))}</b>.`}));
  if (say == null) return;
  likely.slice(0, 12).forEach((q, c) => { const bar = el("i"); bar.style.width = 100 * q + "%"; p.append(el("div", {cls: c === label && "t"}, el("span", {}, className(c)), bar, el("span", {}, (100 * q).toFixed(1) + " %"))); });
}

// --- formulas in MathML, from the rules ------------------------------------------------------------------------------
const mo = s => `<mo stretchy="false">${s}</mo>`, mn = s => `<mn>${s}</mn>`, mrow = (...x) => `<mrow>${x.join("")}</mrow>`;
const mi = s => `<mi mathvariant="normal"${s.length === 1 ? ' class="it"' : ""}>${esc(s)}</mi>`, up = s => `<mi mathvariant="normal">${s}</mi>`;
function symbol(t) {
  const [, base, digits] = letters(t), log = base.match(/^log\s*(.+)$/);
  const body = log ? mrow(up("log"), '<mspace width=".15em"/>', mi(log[1])) : mi(base);
  return digits ? `<msub>${body}${mn(digits)}</msub>` : body;
}
const BINARY = {lt: "<", le: "≤", gt: ">", ge: "≥", eq: "=", ne: "≠"};
const arrayName = a => a.blob != null ? mi(a.name) : symbol(a.tensor);
const FUNCTIONS = {log: "ln", maximum: "max", minimum: "min"};
const mathIndices = at => at.length ? mrow(mo("["), at.map(e => maths(e, 0)).join(mo(",")), mo("]")) : "";
function mathEntry([, a, at]) {
  const inside = mathIndices(at);
  if (a.of === "grad" || a.of === "used") return `<mfrac>${mrow(up("d"), mi("L"))}${mrow(up("d"), symbol(a.tensor), inside)}</mfrac>`;
  return mrow(arrayName(a), inside, a.of === "after" ? '<mspace width=".3em"/>' + up("after") : "");
}
function maths(e, level) { // level: how strongly the surroundings bind; 0 nothing, 1 a sum, 2 a product, 3 a power
  const wrap = (own, body) => own < level ? mrow(mo("("), body, mo(")")) : body, [op, ...x] = e;
  if (op === "number") return wrap(x[0] < 0 ? 1 : 9, (x[0] < 0 ? mo("−") : "") + mn(fmt(Math.abs(x[0]), 4)));
  if (op === "index") return mi(x[0]);
  if (op === "named") return mi(x[0]);
  if (op === "entry") return mathEntry(e);
  const under = () => mrow(x[0].map(([i]) => mi(i)).join(mo(","))), sigma = () => `<munder><mo movablelimits="false">∑</mo>${under()}</munder>`;
  if (op === "logsumexp") return wrap(2, mrow(up("ln"), sigma(), up("exp"), '<mspace width=".17em"/>', maths(x[1], 3)));
  if (op === "softmax") return `<mfrac>${mrow(up("exp"), '<mspace width=".17em"/>', maths(x[1], 3))}${mrow(sigma(), up("exp"), '<mspace width=".17em"/>', maths(x[2], 3))}</mfrac>`;
  if (op === "moved") return mrow(x[0].map(([a]) => mathEntry(["entry", a, [["where it came from"]]])).join(up("or")));
  if (op === "gathered") return wrap(1.5, mrow(mo("∑"), mathEntry(["entry", x[0], [["where it went"]]])));
  if (op.includes(" ")) return `<mtext>${op}</mtext>`;
  if (op === "prod") return wrap(1.5, mrow(`<munder><mo movablelimits="false">∏</mo>${under()}</munder>`, maths(x[1], 1.6)));
  if (op === "sum" || op === "max") return wrap(1.5, mrow(op === "sum" ? sigma() : `<munder>${up("max")}${under()}</munder>`, maths(x[1], 1.6)));
  if (op === "add") return wrap(1, mrow(x.map((a, k) => k && a[0] === "neg" ? mo("−") + maths(a[1], 1.5) : (k ? mo("+") : "") + maths(a, 1)).join("")));
  if (op === "sub") return wrap(1, mrow(maths(x[0], 1), mo("−"), maths(x[1], 1.5)));
  if (op === "neg") return wrap(1, mrow(mo("−"), maths(x[0], 1.5)));
  if (op === "mul") return wrap(2, mrow(x.map((a, k) => maths(a, k && k === x.length - 1 && a[0] === "sum" ? 1.5 : 2)).join(mo("·"))));
  if (op === "div") return `<mfrac>${maths(x[0], 0)}${maths(x[1], 0)}</mfrac>`;
  if (op === "pow") return `<msup>${x[0][0] === "entry" && x[0][1].of !== "value" && mathEntry(x[0]).startsWith("<mfrac>") ? mrow(mo("("), maths(x[0], 9), mo(")")) : maths(x[0], 9)}${maths(x[1], 0)}</msup>`;
  if (op === "call") {
    const [f, ...given] = x, inside = given.map(a => maths(a, 0)).join(mo(","));
    if (f === "exp" && given[0][0] === "entry" && given[0][1].tensor != null && given[0][1].of === "value") { // exp log p is p
      const log = letters(given[0][1].tensor)[1].match(/^log\s*(.+)$/);
      if (log) return mrow(mi(log[1]), mathIndices(given[0][2]));
    }
    if (f === "sqrt") return `<msqrt>${inside}</msqrt>`;
    if (f === "abs" || f === "floor") return mrow(mo(f === "abs" ? "|" : "⌊"), inside, mo(f === "abs" ? "|" : "⌋"));
    if (f === "mod") return wrap(2, mrow(maths(given[0], 2), '<mspace width=".3em"/>', up("mod"), '<mspace width=".3em"/>', maths(given[1], 3)));
    return mrow(up(FUNCTIONS[f] ?? f), given.length === 1 && given[0][0] === "entry" ? '<mspace width=".17em"/>' + inside : mrow(mo("("), inside, mo(")")));
  }
  if (op === "where") return x[2][0] === "number" && x[2][1] === 0 ? wrap(2, mrow(x[1][0] === "number" && x[1][1] === 1 ? "" : maths(x[1], 2) + mo("·"), mo("["), maths(x[0], 0), mo("]"))) :
    mrow(mo("{"), maths(x[1], 0), '<mspace width=".4em"/>', up("if"), '<mspace width=".3em"/>', maths(x[0], 0), mo(";"), up("else"), '<mspace width=".3em"/>', maths(x[2], 0));
  if (BINARY[op]) { const compared = mrow(maths(x[0], 1), mo(esc(BINARY[op])), maths(x[1], 1)); return level > .5 ? mrow(mo("["), compared, mo("]")) : compared; } // 1 or 0
  return up(esc(op));
}
// Whether a formula has a bracket that is 1 where it is true, and the formula with the numbers of this step.
const isZero = e => e[0] === "number" && e[1] === 0;
const hasBracket = (e, inside = false) => e[0] === "where" ? isZero(e[3]) || hasBracket(e[2], inside) || hasBracket(e[3], inside) : inside && e[0] in BINARY || e.some(x => Array.isArray(x) && hasBracket(x, e[0] !== "entry"));
const BRACKET = "A bracket [ ] is 1 where it is true, else 0.";
function withNumbers(e, env) {
  if (e[0] === "where") return withNumbers(evaluate(e[1], env) ? e[2] : e[3], env);
  return ["add", "sub", "mul", "div", "neg"].includes(e[0]) ? [e[0], ...e.slice(1).map(x => withNumbers(x, env))] : ["number", evaluate(e, env)];
}
const moves = o => ["entry", "moved"].includes(o.rule?.value[0]); // it changes no number
const formula = rule => `<math displaystyle="true" aria-label="${esc(rule.formula ?? "")}">${mrow(maths(rule.entry, 0), mo("="), maths(rule.value, 0))}</math>`;

// --- rules: how an entry is made -------------------------------------------------------------------------------------
const shapeOf = a => a.shape ?? T[a.tensor].shape;
const WHICH = {value: "v", grad: "g", after: "a", used: "u"};
const read = (a, i) => { const v = a.blob != null ? entryOf(a, i) : numbers(a.tensor, WHICH[a.of])[i]; return v == null ? null : Number(v); };
const nanSafe = choose => (...x) => x.some(Number.isNaN) ? NaN : choose(...x);
const CALLS = {...Object.fromEntries(["exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "abs", "sign", "floor", "ceil", "trunc", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh"].map(f => [f, Math[f]])),
  round: x => { const y = Math.round(x); return y - x === .5 && y % 2 ? y - 1 : y; }, // a half to the even number
  copysign: (a, b) => b < 0 || Object.is(b, -0) ? -Math.abs(a) : Math.abs(a), erf, erfc: x => 1 - erf(x),
  exp2: x => 2 ** x, mod: (a, b) => a - b * Math.floor(a / b), maximum: nanSafe(Math.max), minimum: nanSafe(Math.min)};
function erf(x) { // 2/√π exp(−x²) Σ 2ⁿ x²ⁿ⁺¹ / (1 · 3 · ... · (2n + 1)): no term has another sign, so nothing cancels
  let term = x, sum = x;
  for (let n = 1; n < 200; n++) sum += term *= 2 * x * x / (2 * n + 1);
  return Math.abs(x) > 6 ? Math.sign(x) : 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
}
const OVER = new Set(["sum", "max", "prod", "logsumexp", "softmax"]); // with indices of their own
const COMPARE = {lt: (a, b) => a < b, le: (a, b) => a <= b, gt: (a, b) => a > b, ge: (a, b) => a >= b, eq: (a, b) => a === b, ne: (a, b) => a !== b};
function flat(e, env) { // the flat index of an entry; null if it is absent
  const shape = shapeOf(e[1]); let i = 0;
  for (let k = 0; k < shape.length; k++) { const at = evaluate(e[2][k], env); if (at == null || !Number.isInteger(at) || at < 0 || at >= shape[k]) return null; i = i * shape[k] + at; }
  return i;
}
function* each([axis, ...rest], env) {
  if (!axis) { yield env; return; }
  for (let k = 0; k < axis[1]; k++) yield* each(rest, {...env, [axis[0]]: k});
}
const unravel = (i, shape) => { const at = []; for (const size of [...shape].reverse()) { at.unshift(["number", i % size]); i = Math.floor(i / size); } return at; };
const ravel = (names, shape, env) => names.reduce((i, name, k) => i * shape[k] + env[name], 0);
// The entries that a number which was only moved came from, or whose gradients a number gathers.
function cameFrom([op, ...x], env) {
  if (op === "gathered") {
    const [array, source, offset, shape, axes] = x, here = offset + ravel(axes, shape, env), found = [], sources = blob(source);
    for (let k = sources.indexOf(here); k >= 0; k = sources.indexOf(here, k + 1)) found.push(["entry", array, unravel(k, shapeOf(array))]);
    return found;
  }
  const [arrays, source, axes] = x, from = blob(source)[ravel(axes, source.shape, env)];
  for (const [array, offset] of arrays) if (from >= offset && from < offset + product(shapeOf(array))) return [["entry", array, unravel(from - offset, shapeOf(array))]];
  return [];
}
function evaluate(e, env) { // null: absent
  const [op, ...x] = e;
  if (op === "number") return x[0];
  if (op === "index") return env[x[0]];
  if (op === "named") return evaluate(x[1], env);
  if (op === "entry") { const i = flat(e, env); return i == null ? null : pretended && pretended.t === x[0].tensor && pretended.i === i && x[0].of === "value" ? pretended.v : read(x[0], i); }
  if (OVER.has(op)) {
    const found = [];
    for (const inner of each(x[0], env)) { const v = evaluate(x.at(-1), inner); if (v != null) found.push(v); }
    if (op === "sum") return found.reduce((a, b) => a + b, 0);
    if (op === "prod") return found.reduce((a, b) => a * b, 1);
    if (!found.length) return null;
    const top = found.reduce((a, b) => nanSafe(Math.max)(a, b));
    if (op === "max") return top;
    const total = found.reduce((a, b) => a + Math.exp(b - top), 0);
    if (op === "logsumexp") return Number.isFinite(top) ? top + Math.log(total) : top;
    const here = evaluate(x[1], env);
    return here == null ? null : Math.exp(here - top) / total;
  }
  if (op === "moved" || op === "gathered") {
    const from = cameFrom(e, env);
    return from.length || op === "gathered" ? from.reduce((a, b) => a + evaluate(b, env), 0) : null;
  }
  if (op === "where") { const c = evaluate(x[0], env); return c == null ? null : evaluate(c ? x[1] : x[2], env); }
  const v = (op === "call" ? x.slice(1) : x).map(a => evaluate(a, env));
  if (v.some(a => a == null)) return null;
  if (op === "add") return v.reduce((a, b) => a + b);
  if (op === "mul") return v.reduce((a, b) => a * b);
  if (op === "sub") return v[0] - v[1];
  if (op === "div") return v[0] / v[1];
  if (op === "neg") return -v[0];
  if (op === "pow") return v[0] ** v[1];
  if (op === "call") return CALLS[x[0]](...v);
  return COMPARE[op](...v) ? 1 : 0;
}
// The recorded entries that an expression reads, of the tensors: [{t, w, i}].
function reads(e, env, found = []) {
  const [op, ...x] = e;
  if (op === "entry") { const i = flat(e, env); if (i != null && x[0].tensor != null) found.push(R(x[0].tensor, x[0].of === "used" ? "g" : WHICH[x[0].of], i)); }
  else if (OVER.has(op)) { if (op === "softmax") reads(x[1], env, found); for (const inner of each(x[0], env)) reads(x.at(-1), inner, found); }
  else if (op === "moved" || op === "gathered") cameFrom(e, env).forEach(a => reads(a, env, found));
  else if (op === "where") { reads(x[0], env, found); const c = evaluate(x[0], env); if (c != null) reads(c ? x[1] : x[2], env, found); }
  else x.forEach(a => Array.isArray(a) && reads(a, env, found));
  return found;
}
// The terms that an expression is the sum of: sums are split, and multiplied out by what stands around them.
function terms(e, env, scale = 1, around = [], at = []) {
  const [op, ...x] = e;
  if (op === "add") return x.flatMap(a => terms(a, env, scale, around, at));
  if (op === "sub") return [...terms(x[0], env, scale, around, at), ...terms(x[1], env, -scale, around, at)];
  if (op === "neg") return terms(x[0], env, -scale, around, at);
  if (op === "sum") { const found = []; for (const inner of each(x[0], env)) found.push(...terms(x[1], inner, scale, around, [...at, ...x[0].map(([name]) => [name, inner[name]])])); return found; }
  if (op === "where") { const c = evaluate(x[0], env); return c == null ? [] : terms(c ? x[1] : x[2], env, scale, around, at); }
  if (op === "moved" || op === "gathered") return cameFrom(e, env).flatMap((a, k) => term([...around, a], env, scale, op === "gathered" ? [...at, ["", k]] : at));
  if (op === "max") { // the first of the largest
    let top = null;
    for (const inner of each(x[0], env)) { const v = evaluate(x[1], inner); if (v != null && (!top || v > top.v || Number.isNaN(v) && !Number.isNaN(top.v))) top = {v, inner}; }
    return top ? terms(x[1], top.inner, scale, around, [...at, ...x[0].map(([name]) => [name, top.inner[name]])]) : [];
  }
  if (isQuotient(e)) return terms(x[0], env, scale, [...around, ["div", ["number", 1], x[1]]], at);
  const split = test => op === "mul" ? x.findIndex(test) : -1, inner = split(several) >= 0 ? split(several) : split(isQuotient);
  if (inner >= 0) return terms(x[inner], env, scale, [...around, ...x.filter((_, k) => k !== inner)], at);
  return term([...around, ...(op === "mul" ? x : [e])], env, scale, at);
}
const isQuotient = e => e[0] === "div" && e[1][0] !== "number";
function term(factors, env, scale, at) {
  const isReciprocal = e => e[0] === "div" && e[1][0] === "number" && e[1][1] === 1;
  factors = [...factors.filter(e => !isReciprocal(e)), ...factors.filter(isReciprocal)];
  const values = factors.map(f => evaluate(f, env));
  if (values.some(v => v == null)) return [];
  return [{at, scale, factors: factors.map((e, k) => ({e, env, v: values[k]})), v: scale * values.reduce((a, b) => a * b, 1)}];
}
function several([op, ...x]) {
  if (op === "neg" || op === "div") return several(x[0]);
  if (op === "mul") return x.some(several);
  return ["sum", "max", "add", "sub", "gathered"].includes(op) || (op === "where" && (several(x[1]) || several(x[2])));
}

// What made an entry: its operation, rule, terms and the parts that are outlined.
function explain(r) {
  const x = T[r.t], at = position(r.t, r.i);
  if (r.w === "a" || r.w === "d") {
    const made = (x.update ?? []).map(rule => { const env = Object.fromEntries(rule.axes.map((name, k) => [name, at[k]])); return {rule, env, terms: terms(rule.value, env), value: evaluate(rule.value, env), say: rule.sentences[0]?.[1]}; });
    return {update: made, parts: ["v", "g"].filter(w => has(r.t, w)).map(w => ({t: r.t, w, entries: [r.i]})), terms: []};
  }
  let made = [];
  if (r.w === "v") { if (x.made_by != null) made = [{op: x.made_by, rule: OPS[x.made_by].rule, dir: "forward"}]; }
  else made = x.used_by.filter(([k]) => OPS[k].visited).map(([k, input]) => ({op: k, input, rule: OPS[k].gradients[input], dir: "backward"}));
  if (r.w === "g" && x.shares.length) made = made.filter(m => x.shares.some(s => s.op === m.op && s.input === m.input));
  const parts = new Map(), why = {made, terms: [], start: r.w === "g" && (M.roots ?? [M.loss]).includes(r.t)};
  for (const m of made) {
    if (!m.rule) continue;
    m.env = Object.fromEntries(m.rule.axes.map((name, k) => [name, at[k]]));
    m.terms = terms(m.rule.value, m.env);
    m.value = evaluate(m.rule.value, m.env) ?? 0;
    m.say = (m.rule.sentences ?? []).find(([c]) => c == null || evaluate(c, m.env))?.[1];
    why.terms.push(...m.terms);
    for (const p of reads(m.rule.value, m.env)) { const key = p.w + p.t; if (!parts.has(key)) parts.set(key, {t: p.t, w: p.w, entries: new Set()}); parts.get(key).entries.add(p.i); }
  }
  why.parts = [...parts.values()].map(p => ({...p, entries: [...p.entries]})).filter(p => !(p.t === r.t && p.w === r.w));
  return why;
}

// --- the inspector: how the chosen number was made -------------------------------------------------------------------
const link = (r, text) => el("button", {cls: "lnk", type: "button", title: nameText(r), onclick: () => select(r, {scroll: true})}, text);
const button = (text, act, more = {}) => el("button", {cls: "btn", type: "button", onclick: act, ...more}, text);
const say = html => el("p", {cls: "say", html});
function refButton(r, text) { return button(text, () => select(r, {scroll: true}), {title: nameText(r)}); }
function bar(v, end) {
  if (!Number.isFinite(v)) return el("span");
  const i = el("i"), size = 50 * Math.min(1, Math.abs(v) / (end || 1));
  i.style.cssText = `width:${size}%;left:${v < 0 ? 50 - size : 50}%;background:${css((v < 0 ? DOWN : UP)[170])}`;
  return el("span", {cls: "tbar", "aria-hidden": "true"}, i);
}
// A factor is an entry (a button that goes there) or a number that was computed from entries.
function factor(f) {
  if (f.e[0] === "entry" && f.e[1].tensor != null) return link(reads(f.e, f.env)[0], column(f.v));
  const text = column(f.v), made = [...new Map(reads(f.e, f.env).map(r => [nameText(r), r])).values()];
  if (made.length < 2 || f.e[0] === "named") return made.length === 1 ? link(made[0], text) : el("span", {}, text);
  const more = made.length > 40 ? ` and ${made.length - 40} more` : "";
  return el("details", {cls: "made"}, el("summary", {title: `what it is computed from: ${made.length} numbers`}, text), ...made.slice(0, 40).map(r => el("div", {}, link(r, `${nameText(r)} = ${column(val(r))}`))), more);
}
function factorTitle(e) { // three and more indices are too wide for a column; the formula above has them
  const short = e[0] === "entry" && e[2].length > 2 ? ["entry", e[1], [["…"]]] : e;
  return `<math>${maths(short, 2)}</math>`;
}
function termLabel(term, op) {
  const at = term.at.filter(([, v]) => v != null);
  if (at.length === 1 && at[0][0] === "n" && P.samples && at[0][1] < P.samples) return el("button", {cls: "lab pick", type: "button", title: `choose ${sampleName(at[0][1])}`, onclick: () => sample(at[0][1])}, thumb(at[0][1], 18), String(at[0][1]));
  return el("span", {}, at.map(([, v]) => v).join(", "));
}
function aloneLabel({factors}) { // a summand of its own, such as the bias
  if (factors.length !== 1) return "";
  const [{e, env}] = factors, [only] = e[0] === "entry" && e[1].tensor != null ? reads(e, env) : [];
  return el("span", {html: only ? nameHtml(only) : `<math>${maths(e, 0)}</math>`});
}
function termTable(list, total, r) {
  const SHOWN = 8, size = t => Number.isNaN(t.v) ? Infinity : Math.abs(t.v), sorted = [...list].sort((a, b) => (a.at.length === 0) - (b.at.length === 0) || (size(a) === size(b) ? 0 : size(b) - size(a)));
  const inSum = sorted.filter(t => t.at.length), alone = sorted.filter(t => !t.at.length), end = most(list.map(t => t.v));
  const width = Math.max(...list.map(t => t.factors.length)), lead = inSum[0] ?? alone[0];
  const body = el("tbody"), table = el("table", {cls: "terms"});
  if (lead?.at.length || width > 1) table.append(el("thead", {}, el("tr", {}, el("th", {scope: "col", cls: "l", html: lead.at.length === 1 && lead.at[0][0] === "n" && P.samples ? "sample" : lead.at.map(([name]) => `<var>${esc(name)}</var>`).join(", ")}), ...lead.factors.flatMap((f, k) => [...k ? [el("th", {"aria-hidden": "true"})] : [], el("th", {scope: "col", html: factorTitle(f.e)})]), ...Array.from({length: width - lead.factors.length}, () => [el("th"), el("th")]).flat(), width > 1 || lead.scale !== 1 ? el("th", {scope: "col"}, width > 1 ? "product" : "") : null, el("th"))));
  const line = term => {
    const cellsOf = term.factors.flatMap((f, k) => [...k ? [el("td", {cls: "o"}, "×")] : [], el("td", {}, factor(f))]);
    for (let k = term.factors.length; k < width; k++) cellsOf.push(el("td"), el("td"));
    const extra = width > 1 || lead.scale !== 1;
    return el("tr", {}, el("th", {scope: "row"}, term.at.length ? termLabel(term) : aloneLabel(term)), ...cellsOf, extra ? el("td", {}, signed(term.v)) : null, el("td", {}, bar(term.v, end)));
  };
  const columns = (width > 1 ? 2 * width : 2) , zeros = inSum.filter(t => t.v === 0).length, cut = zeros > 2 ? Math.min(SHOWN, inSum.length - zeros) : inSum.length > SHOWN + 2 ? SHOWN : inSum.length;
  inSum.slice(0, cut).forEach(t => body.append(line(t)));
  if (cut < inSum.length) {
    const rest = inSum.slice(cut), sum = rest.reduce((a, t) => a + t.v, 0), zero = rest.filter(t => t.v === 0).length;
    const tr = el("tr", {}, el("td", {cls: "l", colspan: columns}, el("button", {cls: "lnk", type: "button", onclick: () => tr.replaceWith(...rest.slice(0, 2000).map(line))}, `${cut ? "the other " : "show the "}${rest.length} terms`), zero === rest.length ? ", all 0" : zero ? `, ${zero} of them 0` : ""), el("td", {}, signed(sum)), el("td", {}, bar(sum, end)));
    if (width === 1 && lead.scale === 1) tr.firstChild.colSpan = 1;
    body.append(tr);
  }
  alone.forEach(t => body.append(line(t)));
  if (list.length > 1) body.append(el("tr", {cls: "tot"}, el("th", {scope: "row", colspan: width === 1 && lead.scale === 1 ? 1 : columns}, "sum"), el("td", {"data-sum": total}, fmt(total)), el("td")));
  table.append(body);
  return el("div", {cls: "wide"}, table);
}
function bySample(list) { // the sums of the terms of each sample, where a sum runs over the batch; else null
  if (!P.samples || list.length < 2 || list.length % P.samples || !list.every(t => t.at.some(([name, n]) => name === "n" && n < P.samples))) return null;
  const shares = Array(P.samples).fill(0);
  for (const t of list) shares[t.at.find(([name]) => name === "n")[1]] += t.v;
  return shares;
}
// The name of entries together: an index that is not the same for all is n for samples, else ":".
function patternHtml(entries) {
  const [{t, w}] = entries, all = entries.map(r => position(t, r.i));
  return heading(t, w) + (all[0].length ? `<span class="ix">[${all[0].map((k, axis) => all.every(at => at[axis] === k) ? k : axis === 0 && T[t].batched ? "n" : ":").join(", ")}]</span>` : "");
}
function howMany(entries) { // of the batch, if they are of its samples
  const [{t}] = entries, per = T[t].batched ? product(T[t].shape.slice(1)) : 0, found = new Set(entries.map(r => Math.floor(r.i / per))).size;
  if (!per || entries.length === 1) return "";
  return found === P.samples ? ` for all ${found} samples` : ` for ${found} of the ${P.samples} samples`;
}
const ref = f => f.e[0] === "entry" && f.e[1].tensor != null ? reads(f.e, f.env)[0] : null;
function grouped(entries, keyOf) {
  const groups = new Map();
  for (const r of entries) { const key = keyOf(r); if (!groups.has(key)) groups.set(key, []); groups.get(key).push(r); }
  return [...groups.values()];
}
const FOLLOWED = 2000; // entries; of more, nothing is counted
// Why gradients are 0, cause by cause, up to a number that an operation shut off, or to the data.
function whyZero(entries, depth = 0) {
  const said = [], sums = [], next = [], shut = [], cut = entries.length > FOLLOWED;
  for (const r of entries.slice(0, FOLLOWED)) for (const m of explain(r).made) {
    if (!m.terms) continue;
    if (m.terms.every(t => t.v === 0 && isZero(t.factors[0].e))) shut.push({...r, m}); else sums.push({r, m});
  }
  for (const group of grouped(shut, r => r.m.op)) {
    const o = OPS[group[0].m.op], a = patternHtml(group), x = group.map(r => R(r.t, "v", r.i)), top = x.reduce((p, q) => val(q) > val(p) ? q : p), many = cut ? "" : howMany(group), one = group.length === 1;
    if (o.name === "ReLU") {
      const h = patternHtml(group.map(r => R(o.result, "v", r.i)));
      said.push(`<b>ReLU set ${h} to 0${many}</b>, because ${one ? `${patternHtml(x)} = ${fmt(val(top), 4)} is not` : `${patternHtml(x)} is ${cut ? "not" : "never"}`} above 0${one || cut ? "" : ` (the largest is ${fmt(val(top), 4)})`}.` + ` A small change of ${patternHtml(x)} changes nothing after it, so ${a} is 0${depth ? ", and nothing flows back through it" : ""}.`);
    } else said.push(`<b>${esc(o.name)} sends no gradient to ${patternHtml(x)}${many}:</b> a small change of it does not change what it returns. ${depth ? esc(group[0].m.say ?? "") : ""}`);
  }
  const first = sums[0];
  if (first && sums.every(({m}) => m.terms.every(t => t.v === 0))) {
    const list = sums.flatMap(({m}) => m.terms), slots = first.m.terms[0].factors.map((_, k) => list.filter(t => t.factors[k]?.v === 0 && ref(t.factors[k]))).map((found, k) => ({k, found})).filter(slot => slot.found.length).sort((p, q) => q.found.length - p.found.length);
    const full = slots.filter(slot => slot.found.length === list.length), used = full.length ? full : slots, parts = used.map(slot => slot.found.map(t => ref(t.factors[slot.k])));
    const names = parts.map(patternHtml), all = list.length === 1 ? "" : ` in all ${list.length} of them`;
    if (!depth && parts.length) said.push(`<b>${list.length > 1 ? "Zero, because every term is zero:" : "Zero, because a factor is zero:"}</b> ` + (full.length > 1 ? `${names.join(" and ")} are both 0${all}. Either alone would be enough.` : full.length ? `${names[0]} is 0${all}.` : names.map((name, k) => `${name} is 0 in ${parts[k].length} of the ${list.length}`).join(", ") + "."));
    for (const part of parts) {
      const single = [...new Map(part.map(r => [r.i, r])).values()];
      if (single[0].w === "g") next.push(single); else said.push(...whyNothing(single));
    }
  } else if (first) said.push("Its terms are not 0, but they cancel exactly.");
  if (depth < 8) for (const part of next) said.push(...whyZero(part, depth + 1));
  return said;
}
function whyNothing(entries) { // why values are 0
  const [{t}] = entries, o = OPS[T[t].made_by], many = howMany(entries);
  if (o && moves(o)) { const from = entries.flatMap(r => explain(r).made[0].terms.map(x => ref(x.factors[0]))).filter(Boolean); if (from.length) return whyNothing(from); }
  if (!o) return [`<b>${patternHtml(entries)} is 0 in the data${many}</b>${T[t].pixels ? ": this pixel is blank" : ""}. A weight that is multiplied by it changes nothing.`];
  if (o.name !== "ReLU") return [];
  const x = entries.map(r => R(o.inputs[0].tensor, "v", r.i)), top = x.reduce((p, q) => val(q) > val(p) ? q : p);
  return [`<b>ReLU set ${patternHtml(entries)} to 0${many}</b>, because ${patternHtml(x)} is not above 0 there (the largest is ${fmt(val(top), 4)}).`];
}
// What a weight connects, in words.
function connects(r) {
  const [op, place] = T[r.t].used_by[0] ?? [], o = OPS[op], at = position(r.t, r.i);
  if (!T[r.t].parameter || T[r.t].used_by.length !== 1) return null;
  const result = T[o.result], last = result.used_by.some(([k]) => OPS[k].name.endsWith("Loss"));
  const to = k => o.result === P.scores && P.labels != null ? `the score of class ${esc(className(k))}` : `${last ? "output" : "hidden neuron"} ${k}, ${nice(o.result)}<span class="ix">[${result.batched ? "n, " : ""}${k}]</span>`;
  if (o.name === "Linear" && place === 2) return `A bias: it is added to ${to(at[0])}.`;
  if (o.name === "Linear" && place === 1) {
    const from = o.inputs[0].tensor, by = OPS[T[from].made_by], [, , columns, size] = T[from].grid;
    return `This weight leads from ${T[from].pixels && T[from].grid[0] === 1 ? `pixel ${at[1]} (row ${Math.floor(at[1] % size / columns)}, column ${at[1] % columns})` : !by || moves(by) ? `input ${at[1]}` : `hidden neuron ${at[1]}`} to ${to(at[0])}.`;
  }
  if (o.name === "Conv2d" && place === 1) return `This weight leads from channel ${at[1]} to channel ${at[0]}, at row ${at[2]} and column ${at[3]} of the kernel.`;
  return null;
}
// The page's own words for what one number teaches.
function lesson(r, why) {
  const v = val(r), list = why.terms.filter(t => t.at.length), said = [];
  if (why.made?.some(m => OPS[m.op].planted)) return said;
  const strange = why.terms.filter(t => !Number.isFinite(t.v)).length;
  if (!Number.isFinite(v)) said.push(strange && why.terms.length > 1 ? `<b>${fmt(v)}</b>, because ${strange} of the ${why.terms.length} terms ${strange > 1 ? "are" : "is"} nan or infinite.` : why.parts.some(p => p.entries.some(i => !Number.isFinite(val(R(p.t, p.w, i))))) ? `<b>${fmt(v)}</b>, because what it was computed from already is nan or infinite.` : why.parts.length ? `<b>${fmt(v)}</b> begins here: everything it was computed from is finite.` : `<b>${fmt(v)}</b>: not a finite number.`);
  S.most = null;
  if (r.w === "g" && v === 0 && why.made?.length) said.push(...whyZero([r]));
  else if (r.w === "g" && v !== 0 && T[r.t].parameter) {
    const shares = bySample(list);
    if (shares) {
      const n = shares.reduce((a, share, k) => Math.abs(share) > Math.abs(shares[a]) ? k : a, 0);
      S.most = n;
      said.push(`<b>${esc(sampleName(n).replace(/^s/, "S"))}</b> pushes it most: ${signed(shares[n])} of ${fmt(v, 4)}.`);
    }
    if (Number.isFinite(v)) said.push(`The gradient is ${v < 0 ? "negative: a larger number would lower the loss, so the update raises it" : "positive: a larger number would raise the loss, so the update lowers it"}${M.optimizer && has(r.t, "a") && Math.sign(numbers(r.t, "a")[r.i] - numbers(r.t, "v")[r.i]) === Math.sign(v) ? " (not in this step: the optimizer's state decided otherwise)" : ""}.`);
  }
  return said;
}
function enter() { // focus goes to the first factor: Enter, again and again, walks along the largest terms
  const I = $("inspector");
  (I.querySelector(".terms .lnk") ?? I.querySelector(".lnk") ?? I.querySelector(".links button") ?? I.querySelector("button")).focus({preventScroll: true});
  document.activeElement.scrollIntoView({block: "nearest"});
}
function inspector() {
  const inside = S.sel && $("inspector").contains(document.activeElement);
  drawInspector();
  if (inside) enter();
}
function drawInspector() {
  const I = $("inspector"), r = S.sel;
  I.classList.toggle("idle", !r); document.body.classList.toggle("chosen", Boolean(r)); I.replaceChildren();
  if (!r) { idle(I); return; }
  const why = S.why, x = T[r.t], v = val(r), made = why.made?.length ? why.made : [], op = made[0] && OPS[made[0].op];
  const asides = [], cols = el("div", {cls: "cols"}), kind = why.update ? "Update" : op ? `${[...new Set(made.map(m => OPS[m.op].name))].join(", ")}, ${made[0].dir}` : x.parameter ? "Parameter" : x.buffer ? "Buffer" : r.w === "g" ? "Gradient" : r.t === P.labels ? "Label" : "Input";
  I.append(el("div", {cls: "nav"}, el("span", {}, kind), S.past.length ? button("← Back", back) : null, button("×", () => select(null), {"aria-label": "Close"})), cols);
  const A = el("div"), B = el("div"); cols.append(A, B);
  A.append(el("div", {cls: "big"}, el("span", {cls: "n", html: nameHtml(r) + " ="}), el("span", {cls: "v", "data-value": v, title: T[r.t].dtype === "float32" ? `exactly this float32: ${exact(v)}` : String(v)}, fmt(v))));
  for (const m of made) {
    const o = OPS[m.op];
    if (m.rule) A.append(el("div", {cls: "fx " + (r.w === "v" ? "f" : "b"), html: formula(m.rule)}));
    else A.append(el("div", {cls: "fx " + (r.w === "v" ? "f" : "b")}, el("span", {cls: "mono"}, formulaText(o, m.dir))), say(`${esc(o.undeclared ?? "")} Here are its formula and its source.`));
    const zero = r.w === "g" && v === 0 && o.name === "ReLU"; // the lesson says it, with the numbers
    if ((m.say || r.w === "v") && !zero) A.append(say(esc(m.say || o.purpose)));
    if (m.rule?.together) A.append(say("Together with the next operation, with the numbers of this step below:"), el("div", {cls: "fx b"}, el("div", {html: formula({...m.rule, ...m.rule.together})}), el("div", {cls: "worked", html: `<math displaystyle="true">${mrow(maths(withNumbers(m.rule.together.value, m.env), 0), mo("="), maths(["number", v], 0))}</math>`})));
    if (m.rule && [m.rule.value, m.rule.together?.value].some(e => e && hasBracket(e))) A.append(el("p", {cls: "cap"}, BRACKET));
  }
  const leads = connects(r); if (leads) A.append(say(leads));
  for (const text of lesson(r, why)) A.append(say(text));
  if (why.start && r.w === "g") A.append(say("<b>Here backward starts:</b> the slope of the loss with respect to itself is 1."));
  const how = FIELD[r.w] && x[FIELD[r.w]]?.how;
  if (!made.length && r.w === "v" && !x.parameter) A.append(say(r.t === P.labels ? `The label of sample ${r.i}${P.classes ? `: <b>${esc(className(v))}</b>` : ""}. It came with the data.` : "It came with the data: no operation of this step made it."));
  if (r.w === "g" && !made.length && !why.start) A.append(say("No visited operation sent this gradient."));
  const pics = pictures(r, made) ?? curve(r, made); if (pics) A.append(pics);
  if (x.shares?.length && r.w === "g") A.append(sharesTable(r));
  for (const m of made) { const lines = sourceLines(m); if (lines) A.append(lines); }
  if (why.update) updateOf(r, A, B);
  if (r.w === "g" && r.t === P.scores && P.labels != null) B.append(otherLabels(r));
  for (const m of made) { // several where a value was used more than once: each sent a gradient
    const share = r.w === "g" ? x.shares.find(s => s.op === m.op && s.input === m.input) : null, got = share ? blob(share.grad)[r.i] : v;
    if (share) B.append(el("h3", {html: `From ${esc(OPS[m.op].name)}: ${fmt(got)}`}));
    if (m.rule?.table) B.append(ruleTable(m, r));
    if (m.terms?.length && (m.terms.length > 1 || m.terms[0].factors.some(f => f.e[0] !== "number"))) {
      const total = m.terms.reduce((a, t) => a + t.v, 0), apart = Math.abs(total - got);
      B.append(termTable(m.terms, total, r));
      if (apart > 0 && Number.isFinite(apart)) (OPS[m.op].planted || apart > 1e-3 * Math.abs(total) + 1e-12 ? B : {append: p => { p.className = "cap"; asides.push(p); }}).append(say(apart > 1e-3 * Math.abs(total) + 1e-5 * m.terms.reduce((a, t) => a + Math.abs(t.v), 0) + 1e-12 ? `<b>${OPS[m.op].planted ? "The planted mistake" : "Not what the operation did"}:</b> this formula gives ${fmt(total, 7)}, but ${m.dir} returned ${fmt(got, 7)}.` : `Computed here in float64. The library's ${esc(x.dtype)} is ${fmt(got, 8)}: ${fmt(apart, 2)} away, by rounding.`));
    }
  }
  if (r.w === "g") { const box = checkBox(r, v); if (box) B.append(box); }

  if (r.w === "v" && x.parameter && has(r.t, "g")) {
    const g = R(r.t, "g", r.i), a = R(r.t, "a", r.i);
    B.append(el("div", {cls: "box"}, el("h3", {}, "In this step"), el("dl", {}, el("dt", {html: heading(r.t, "g")}), el("dd", {}, link(g, fmt(val(g)))), ...has(r.t, "a") ? [el("dt", {}, "after the update"), el("dd", {}, link(a, fmt(val(a))))] : [])));
  }
  B.append(...asides);
  const to = el("div", {cls: "links"});
  if (r.w !== "v") to.append(refButton(R(r.t, "v", r.i), r.w === "g" ? "its value" : "its value before"));
  if (r.w !== "g" && has(r.t, "g")) to.append(refButton(R(r.t, "g", r.i), "its gradient"));
  if (r.w === "g" && has(r.t, "a")) to.append(refButton(R(r.t, "a", r.i), "after the update"));
  if (how) {
    const from = sources(r.t, r.w).map(([t, w]) => nameText(R(t, w, 0)).replace(/\[.*\]/, "")).join(" and ");
    B.append(el("p", {cls: "cap"}, how === "near" ? `The page stores only how far the bits of this array are from those of ${from}.` : `The page does not store this array: it computes the recorded bits from ${from}${how === "sum" ? ", and stores where they round otherwise" : ""}.`));
  }
  if (to.children.length) B.append(to);
  fit(I);
  I.scrollTop = 0;
  $("live").textContent = `${nameText(r)} is ${fmt(v)}`;
}
function formulaText(o, dir) {
  const parts = (o.formula ?? "").split(/;\s*/);
  return (dir === "forward" ? parts[0] : parts.slice(1).join("; ")) || "its docstring has no formula";
}
function sourceLines(m) {
  const o = OPS[m.op], source = o[m.dir], lines = m.rule?.lines ?? [];
  if (!source || !lines.length) return null;
  return el("div", {cls: "src one"}, el("span", {cls: "where"}, `${source.file}, ${o.name}.${m.dir}`), ...lines.map(([no, text]) => sourceLine(text.trim(), no)));
}
function sourceLine(text, no) {
  const depth = text.match(/^ */)[0].length, [, code, comment] = text.slice(depth).match(/^((?:[^#"']|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')*)(#.*)?$/) ?? [, text.slice(depth), ""];
  const tx = el("span", {cls: "tx"}, code, comment ? el("span", {cls: "cm"}, comment) : "");
  tx.style.cssText = `padding-left:${depth / 2 + 2}ch;text-indent:-2ch`;
  return el("div", {"data-line": no}, el("span", {cls: "no"}, String(no)), tx);
}
function sourceBox(source, title, cls) {
  return el("div", {cls: "src " + cls, tabindex: 0}, el("span", {cls: "where"}, `${source.file}, ${title}, line ${source.line}`), ...source.text.replace(/\n$/, "").split("\n").map((l, k) => sourceLine(l, source.line + k)));
}
function ruleTable(m, r) { // such as z, exp, p for the classes, or a window; the row in question is bold
  const {index, columns} = m.rule.table, size = product(index.map(([, size]) => size)), winner = m.rule.value[0] === "max" && m.terms.length ? reads(m.terms[0].factors[0].e, m.terms[0].factors[0].env)[0] : null;
  const me = env => columns.some(([, e]) => e[0] === "entry" && reads(e, env).some(x => winner ? x.t === winner.t && x.i === winner.i : x.i === r.i && x.t !== P.labels));
  const head = columns.some(([title]) => title) ? el("tr", {}, el("th"), ...columns.map(([title]) => el("th", {scope: "col"}, title))) : el("tr", {}, el("th", {scope: "col", cls: "l", colspan: 2}, `the largest of ${size}`));
  const named = env => index.length === 1 ? P.classes?.length === size ? className(env[index[0][0]]) : String(env[index[0][0]]) : index.map(([name]) => `${name} = ${env[name]}`).join(", ");
  const body = [...each(index, m.env)].slice(0, 40).map(env => el("tr", {cls: me(env) && "me"}, el("th", {scope: "row"}, named(env)),
    ...columns.map(([, e]) => { const v = evaluate(e, env), from = e[0] === "entry" ? reads(e, env)[0] : null; return el("td", {}, v == null ? "outside" : from ? link(from, column(v)) : column(v)); })));
  return el("table", {cls: "terms"}, el("thead", {}, head), el("tbody", {}, ...body));
}
function sharesTable(r) {
  const x = T[r.t], rows = x.shares.map(s => [s, blob(s.grad)[r.i]]), total = rows.reduce((a, [, v]) => a + v, 0), end = most(rows.map(([, v]) => v));
  return el("div", {}, say(`This value was used ${x.shares.length} times, so its gradient is the sum of ${x.shares.length} gradients.`),
    el("table", {cls: "terms"}, el("tbody", {}, ...rows.map(([s, v]) => el("tr", {}, el("th", {scope: "row"}, `from ${OPS[s.op].name}${OPS[s.op].layer ? ", " + OPS[s.op].layer : ""}`), el("td", {}, signed(v)), el("td", {}, bar(v, end)))), el("tr", {cls: "tot"}, el("th", {scope: "row"}, "sum"), el("td", {"data-sum": total}, fmt(total)), el("td")))));
}
// x × W = products, as three pictures, where a sum runs over the features of a sample or of a weight's row.
function pictures(r, made) {
  const m = made[0];
  if (!m?.rule || m.rule.value[0] !== "add" && m.rule.value[0] !== "sum") return null;
  const list = m.terms.filter(t => t.at.length === 1 && t.factors.length === 2), count = list.length;
  if (count < 9 || list[0].at[0][0] === "n") return null;
  const refs = list[0].factors.map((_, k) => list.map(t => reads(t.factors[k].e, t.env ?? t.factors[k].env)[0]));
  if (refs.some(column => column.some(x => !x))) return null;
  const shaped = refs.map(c => c[0].t).find(t => T[t].batched && T[t].grid[2] * T[t].grid[1] >= count && T[t].grid[0] === 1);
  if (shaped == null) return null;
  const [, h, w] = T[shaped].grid, cell = Math.max(1, Math.floor(78 / Math.max(h, w)));
  const figure = (valueAt, end, inked, caption, refAt) => {
    const c = el("canvas", {width: w, height: h, "aria-hidden": "true"}), image = new ImageData(w, h), pixel = new Uint32Array(image.data.buffer);
    for (let k = 0; k < count; k++) pixel[k] = inked ? INKTABLE[255 + clamp(255 * valueAt(k))] : TABLE[255 + clamp(255 * valueAt(k) / (end || 1))];
    c.getContext("2d").putImageData(image, 0, 0); c.style.cssText = `width:${w * cell}px;height:${h * cell}px;image-rendering:pixelated`;
    if (refAt) c.addEventListener("click", e => select(refAt(Math.floor(e.offsetY / cell) * w + Math.floor(e.offsetX / cell)), {scroll: true}));
    return el("figure", {}, c, el("figcaption", {html: caption}));
  };
  const sign = s => { const e = el("span", {"aria-hidden": "true"}, s); e.style.cssText = `height:${h * cell}px;display:flex;align-items:center`; return e; };
  const [a, b] = refs, title = c => nameHtml(c[0]).replace(/\[.*\]/, s => { const first = position(c[0].t, c[0].i), second = position(c[1].t, c[1].i); return "[" + first.map((k, j) => k === second[j] ? k : ":").join(", ") + "]"; });
  return el("div", {cls: "pics"}, figure(k => val(a[k]), largest(a[0].t, a[0].w), pixels(a[0].t, a[0].w), title(a), k => a[k]), sign("×"), figure(k => val(b[k]), largest(b[0].t, b[0].w), pixels(b[0].t, b[0].w), title(b), k => b[k]), sign("="), figure(k => list[k].v, most(list.map(t => t.v)), false, "products"));
}
// The curve of an operation that makes each number of one number, and the place on it.
let pretended = null; // {t, i, v}: what evaluate reads instead of an entry's own value
function curve(r, made) {
  const k = r.w === "v" ? T[r.t].made_by : made.length === 1 ? made[0].op : null, o = OPS[k];
  if (!o?.rule || o.inputs.filter(x => x.tensor != null).length !== 1 || T[o.inputs[0].tensor].shape.join() !== T[o.result].shape.join() || /"(sum|max|logsumexp|softmax|moved|gathered|add)"/.test(JSON.stringify(o.rule.value))) return null;
  const t = o.inputs[0].tensor, env = Object.fromEntries(o.rule.axes.map((name, j) => [name, position(r.t, r.i)[j]])), x = val(R(t, "v", r.i));
  if (reads(o.rule.value, env).some(p => p.t !== t || p.i !== r.i) || !Number.isFinite(x) || !Number.isFinite(evaluate(o.rule.value, env))) return null;
  const reach = Math.max(1, Math.abs(x) * 1.3), at = v => { pretended = {t, i: r.i, v}; const y = evaluate(o.rule.value, env); pretended = null; return y; };
  const points = Array.from({length: 81}, (_, j) => (j - 40) / 40 * reach).map(v => [v, at(v)]).filter(([, y]) => Number.isFinite(y)), y = at(x);
  const low = Math.min(0, ...points.map(p => p[1])), high = Math.max(0, ...points.map(p => p[1])), X = v => 140 + v / reach * 120, Y = v => 84 - (v - low) / (high - low || 1) * 72;
  return el("div", {html: `<svg width="280" height="104" role="img" aria-label="${esc(o.name)} at ${fmt(x, 4)} is ${fmt(y, 4)}"><path d="M20 ${Y(0)}H260M140 8V88" stroke="var(--line2)" fill="none"/><path d="M${points.map(([a, b]) => X(a).toFixed(1) + " " + Y(b).toFixed(1)).join("L")}" stroke="var(--fwd)" stroke-width="2.5" fill="none"/><path d="M${X(x)} ${Y(0)}V${Y(y)}" stroke="var(--ink)" stroke-dasharray="3 3"/><circle cx="${X(x)}" cy="${Y(y)}" r="5.5" fill="var(--ink)"/><text x="${X(x)}" y="102" text-anchor="middle" font-size="11.5" fill="var(--ink2)">${fmt(x, 4)}</text></svg>`});
}
function difference(t, i) { // the recorded central difference of an entry, or null
  const c = T[t].check;
  if (!c || c.plus == null) return null;
  const k = c.entries == null ? i : blob(c.entries).indexOf(i);
  if (k < 0) return null;
  const plus = blob(c.plus)[k], minus = blob(c.minus)[k];
  return {plus, minus, eps: c.eps, numeric: (plus - minus) / (2 * c.eps), kink: c.kinks?.[k]};
}
function verdict(d, v, tolerance) {
  const apart = Math.abs(d.numeric - v), size = Math.max(Math.abs(d.numeric), Math.abs(v));
  return {apart, digits: apart === 0 ? 16 : Math.max(0, Math.floor(-Math.log10(apart / size))), good: apart <= 1e-3 * size + tolerance};
}
const tenth = v => Number.isFinite(v) ? v.toFixed(10) : odd(v);
function checkBox(r, v) {
  const c = T[r.t].check;
  if (!c) return null;
  if (c.not_checked) return el("div", {cls: "box"}, el("h3", {}, "Not checked"), c.not_checked);
  const d = difference(r.t, r.i);
  if (!d) return el("div", {cls: "box"}, el("h3", {}, "Check by differences"), `${blob(c.plus).length} entries of this array were checked by differences; this one was not.`);
  const name = nameHtml(R(r.t, "v", r.i)), {apart, digits, good} = verdict(d, v, T[r.t].tolerance), nudge = fmt(d.eps, 3);
  const line = d.numeric === 0 && v === 0 ? ["ok", "✓ Both are exactly 0."] : !Number.isFinite(d.numeric) ? ["open", "The loss is nan or infinite here, so there is nothing to compare with."] : d.kink ? ["open", d.kink] : good ? ["ok", `✓ They agree to ${digits} digits (${fmt(apart, 1)} apart).`.replace("0 digits", "within rounding")] : ["bad", `✗ They differ: backward's gradient is wrong by ${fmt(apart, 2)}.`];
  return el("div", {cls: "box"}, el("h3", {html: `Check by nudging ${name}`}), el("dl", {}, ...[[`<var>L</var> with ${name} + ${nudge}`, tenth(d.plus)], [`<var>L</var> with ${name} − ${nudge}`, tenth(d.minus)], [`their difference / ${fmt(2 * d.eps, 3)} (the central difference)`, fmt(d.numeric, 8)], ["backward's gradient", fmt(v, 8)]].flatMap(([a, b]) => [el("dt", {html: a}), el("dd", {}, b.replace(/^-/, "−"))])), el("p", {cls: line[0], "data-check": line[0]}, line[1]));
}
// What would change with another label: this sample's loss, and, by the formula of this step, the gradient of its scores.
function otherLabels(r) {
  const size = product(T[r.t].shape.slice(1)), n = Math.floor(r.i / size), p = probabilities(row(r.t, n)), label = labelOf(n), m = S.why.made.find(m => m.rule?.together);
  const ranked = p.map((q, c) => c).filter(c => c !== label).sort((a, b) => p[b] - p[a]), other = ranked.includes(S.other) ? S.other : ranked[0];
  const sent = (c, to) => { pretended = {t: P.labels, i: n, v: to}; const g = evaluate(m.rule.together.value, Object.fromEntries(m.rule.axes.map((name, k) => [name, [n, c][k]]))); pretended = null; return g; };
  const choose = c => { S.other = c; drawInspector(); $("inspector").scrollTop = $("other-label").offsetTop - 60; }, name = c => esc(className(c)), loss = c => column(-Math.log(p[c]));
  const head = el("tr", {}, el("th", {scope: "col", cls: "l"}, "class"), el("th", {scope: "col", html: "<var>p</var>"}), ...m ? [el("th", {scope: "col", html: `${heading(r.t, "g")} now`}), el("th", {scope: "col", html: `with label ${name(other)}`})] : [], el("th", {scope: "col", title: "the loss of this sample, if this class were its label"}, "loss if label"));
  const rows = p.slice(0, 12).map((q, c) => el("tr", {cls: c === label && "me"}, el("th", {scope: "row"}, c === label ? className(c) + " ✓" : el("button", {cls: "pick choice", type: "button", title: `what if the label were ${className(c)}`, "aria-pressed": c === other, onclick: () => choose(c)}, className(c))), el("td", {}, column(q)), ...m ? [el("td", {}, column(sent(c, label))), el("td", {cls: c === other && "other"}, column(sent(c, other)))] : [], el("td", {}, column(-Math.log(q)))));
  return el("div", {cls: "box", id: "other-label"}, el("h3", {}, "If the label were another"), say(`The scores and <var>p</var> would stay. The label's class has <var>p</var> − 1, every other class <var>p</var> − 0; the 1 would move to the other class. With label <b>${name(other)}</b> instead of ${name(label)} this sample's loss −ln <var>p</var> would be ${loss(other)} instead of ${loss(label)}` + (m && sent(label, label) < 0 && sent(other, label) > 0 ? `, and its share of the update would lower score ${name(label)} instead of raising it, and raise score ${name(other)} instead of lowering it.` : ".")),
    el("table", {cls: "terms"}, el("thead", {}, head), el("tbody", {}, ...rows)), m ? el("p", {cls: "cap"}, "Click a class to make it the label.") : null);
}
function updateOf(r, A, B) { // each number of the update in order, with its terms, the parameter last
  const o = M.optimizer, v = numbers(r.t, "v")[r.i], a = numbers(r.t, "a")[r.i], made = S.why.update;
  const x = T[r.t], kept = x.kept && blob(x.kept), unknown = kept && !kept.includes(r.i);
  A.append(say(`It changes by ${fmt(a - v, 4)}` + (!Number.isFinite(a - v) ? "." : `, ${v ? fmt(100 * Math.abs((a - v) / v), 2) + " % of its size" : "from 0"}.`)));
  if (!made.length || unknown) {
    A.append(el("div", {cls: "fx b"}, el("span", {cls: "mono"}, o.formula.replace(/ {2,}/g, " "))));
    if (unknown) A.append(el("p", {cls: "say"}, `Of ${Object.keys(x.state).filter(s => D.blobs[x.state[s].after.blob].of != null).map(esc).join(" and ")}, a page this large keeps ${kept.length === 1 ? "one entry" : kept.length + " entries"}: `, link(R(r.t, r.w, kept[0]), kept.length === 1 ? "see it" : "see one of them")));
    else A.append(say("This optimizer does not declare how single numbers are made: here are its formula and its source."));
    if (o.source && !unknown) A.append(sourceBox(o.source, `${o.name}.update`, "one"));
    const rows = [["before", link(R(r.t, "v", r.i), fmt(v, 8))], ["after", fmt(a, 8)]];
    if (has(r.t, "g")) rows.splice(1, 0, [heading(r.t, "g"), link(R(r.t, "g", r.i), fmt(numbers(r.t, "g")[r.i], 8))]);
    for (const [name, pair] of Object.entries(x.state)) for (const when of ["before", "after"]) {
      const v = pair[when] && entryOf(pair[when], D.blobs[pair[when].blob].n === 1 ? 0 : r.i);
      if (v != null) rows.push([`${esc(name)} ${when}`, fmt(v, 8)]);
    }
    B.append(el("div", {cls: "box"}, el("h3", {}, "The update of this number"), el("dl", {}, ...rows.flatMap(([k, d]) => [el("dt", {html: k}), el("dd", {}, d)]))));
    return;
  }
  const lines = m => m.rule.lines.length ? [el("div", {cls: "src one"}, el("span", {cls: "where"}, `${o.source.file}, ${o.name}.update`), ...m.rule.lines.map(([no, text]) => sourceLine(text, no)))] : [];
  const whole = made.at(-1), apart = Math.abs(a - whole.value), size = whole.terms.reduce((s, t) => s + Math.abs(t.v), 1e-9);
  A.append(productTable(whole, a));
  if (apart > 0 && Number.isFinite(apart)) A.append(say(apart > 1e-4 * size ? `<b>Not what the optimizer did:</b> this gives ${fmt(whole.value, 7)}, but the update returned ${fmt(a, 7)}.` : `Computed here in float64. The library's ${esc(T[r.t].dtype)} is ${fmt(a, 8)}: ${fmt(apart, 2)} away, by rounding.`));
  A.append(...lines(whole));
  if (made.length > 1) B.append(el("h2", {}, "The numbers on the way"));
  for (const m of made.slice(0, -1)) B.append(productTable(m, evaluate(m.rule.entry, m.env)), ...m.say ? [say(esc(m.say))] : [], ...lines(m));
}
// A row for each term: what it is, its factors below, their product. Every number of an update is made of the numbers at
// the same place, so the indices are left out.
function productTable(m, exact) {
  const bare = e => !Array.isArray(e) ? e : e[0] === "entry" ? ["entry", e[1], []] : e.map(bare), body = el("tbody"), math = (e, level) => maths(bare(e), level);
  for (const t of m.terms) {
    const minus = t.scale < 0 ? "−" : "", numbers = t.factors.flatMap((f, k) => [...k ? [" × "] : [], f.e[0] === "number" ? fmt(f.v) : factor(f)]);
    const what = el("th", {scope: "row", html: `<math>${minus && mo(minus)}${mrow(t.factors.map(f => math(f.e, 2)).join(mo("·")))}</math>`});
    if (t.factors.length > 1) what.append(el("div", {cls: "cap"}, minus, ...numbers));
    body.append(el("tr", {}, what, el("td", {}, t.factors.length > 1 || minus ? fmt(t.v, 7) : t.factors[0].e[0] === "number" ? fmt(t.v, 7) : factor(t.factors[0]))));
  }
  body.append(el("tr", {cls: "tot"}, el("th", {scope: "row", html: `<math>${math(m.rule.entry, 0)}</math>`}), el("td", {"data-sum": m.value, "data-step": m.rule.name}, fmt(exact, 8))));
  return el("table", {cls: "terms"}, body);
}

// --- questions, each with its answer at a number of this step --------------------------------------------------------
function questions() {
  const list = [], params = T.map((x, t) => t).filter(t => T[t].parameter && T[t].grad), weights = params.filter(t => T[t].shape.length > 1);
  const ask = (text, hint, r, more = {}) => r && list.push({text, hint, r, ...more});
  if (M.loss != null && T[M.loss].shape.length === 0) ask(`Why is the loss ${fmt(M.loss_value ?? val(R(M.loss, "v", 0)), 4)}?`, "What it is the mean or sum of", R(M.loss, "v", 0));
  if (P.scores != null) {
    const z = P.scores, size = product(T[z].shape.slice(1)), n = P.first ?? 0, label = labelOf(n), guess = best(n);
    if (label != null) {
      ask(wrong(n) ? `Why is sample ${n} (label ${className(label)}) taken for ${className(guess)}?` : `Why is sample ${n} taken for ${className(guess)}?`, "The score, term by term", R(z, "v", n * size + (guess ?? label)));
      if (T[z].grad) ask("Where does the gradient become different for each class?", "p − 1 at the label, p elsewhere", R(z, "g", n * size + label));
      if (T[z].grad) ask(`What would change if the label of sample ${n} were another?`, "The loss and the gradient for each class", R(z, "g", n * size + label), {show: "other-label"});
    }
  }
  const pulled = weights.map(t => [t, T[t].peak]).filter(([, i]) => i != null);
  if (pulled.length) {
    const [t, i] = pulled.reduce((a, b) => largest(b[0], "g") > largest(a[0], "g") ? b : a);
    ask(P.samples > 1 ? "Which weight is pulled the hardest, and which sample pushes it most?" : "Which weight is pulled the hardest?", `${T[t].name}${brackets(R(t, "g", i))}: its gradient, term by term`, R(t, "g", i));
  }
  for (const t of weights) { const i = T[t].quiet; if (i != null) { ask(`Why is the gradient of ${T[t].name}${brackets(R(t, "g", i))} zero?`, "Followed to its cause", R(t, "g", i)); break; } }
  if (P.stopped) ask("Where does a ReLU stop a gradient?", `At ${T[P.stopped[0]].name}${brackets(R(P.stopped[0], "g", P.stopped[1]))}: its input was not above 0`, R(P.stopped[0], "g", P.stopped[1]));
  if (M.optimizer && M.loss_after != null) list.push({text: "What does the update do to the loss?", hint: P.losses ? "Before and after, for each sample" : "Before and after", go: "effect", said: effectText});
  if (params.some(t => has(t, "a"))) { const t = weights[0] ?? params[0], i = T[t].peak; if (i != null) ask(`How does the update change ${T[t].name}${brackets(R(t, "a", i))}?`, M.optimizer?.plain ? "The learning rate times the gradient" : `What ${M.optimizer?.name} makes of its gradient`, has(t, "a") ? R(t, "a", i) : null); }
  if (P.strange) list.unshift({text: `Where does the first ${fmt(val(R(...P.strange)))} come from?`, hint: "Everything before it is finite", r: R(...P.strange)});
  const faulty = T.findIndex((x, t) => x.failed?.length);
  if (faulty >= 0) list.unshift({text: "Where do backward and the central differences disagree?", hint: "The planted mistake, at a number", r: R(P.fault_tensor ?? faulty, "g", T[P.fault_tensor ?? faulty].failed[0])});
  return list.slice(0, 10);
}
function idle(I) {
  I.append(S.said ? el("div", {cls: "box said"}, el("h3", {}, S.said.text), ...S.said.said().map(say)) : "", el("h2", {}, "Click any number"), say("You see the sum or product that made it, with the actual numbers. Underlined numbers lead on: you can walk from the loss to an input. Gradients are checked by nudging: the loss with this number a little larger and a little smaller."),
    el("div", {cls: "ask"}, ...(S.questions ??= questions()).map(q => el("button", {type: "button", onclick: () => answer(q)}, q.text, el("small", {}, q.hint)))),
    el("div", {cls: "keys", html: [["← → ↑ ↓", "neighbouring entry"], ["n p", "next, previous sample"], ["g", "value ↔ its gradient"], ["[ ] space", "one step of the replay, play"], ["⏎", "from an entry to its terms, and on to a factor"], ["c", "show or hide the code"], ["⌫ esc", "go back, close"]].map(([k, text]) => `<span>${k.split(" ").map(x => `<kbd>${x}</kbd>`).join(" ")}</span><span>${text}</span>`).join("")}));
}
function answer(q) {
  if (q.go) {
    S.said = q; select(null); $("inspector").scrollTop = 0;
    $(q.go)?.scrollIntoView({block: "center"}); $(q.go)?.focus({preventScroll: true}); $(q.go)?.classList.add("asked");
    return;
  }
  S.other = null;
  select(q.r, {scroll: true});
  if (!$("inspector").contains(document.activeElement)) enter();
  if (q.show) { const b = $(q.show); if (b) $("inspector").scrollTop = b.offsetTop - 60; }
}

// --- choosing an entry -----------------------------------------------------------------------------------------------
function select(r, {keep = false, scroll = false, still = false, view = null} = {}) {
  const home = !r && $("inspector").contains(document.activeElement) && views.find(v => v.anchor && v.kind !== "batch");
  if (r && S.sel && !keep) S.past.push({...S.sel, n: S.n});
  if (!r) S.past = [];
  if (r) {
    const x = T[r.t];
    if (x.batched) { const n = Math.floor(r.i / product(x.shape.slice(1))); if (n !== S.n) { S.n = n; showSample(); } }
    if (!arrived(r.t, r.w)) return;
    if (waits(r.t, r.w)) moment(END);
  }
  S.sel = r; S.why = r ? explain(r) : null; S.most = null;
  if (r) { S.said = null; $("event").hidden = true; document.querySelector(".asked")?.classList.remove("asked"); }
  refresh();
  if (r && scroll && !still) scrollTo_(view);
  if (home) home.box.focus({preventScroll: true});
}
function refresh() { views.forEach(v => v.mark()); marks(); inspector(); markSamples(); wires(); address(); }
function scrollTo_(view) {
  const v = view?.anchor ? view : views.find(v => v.anchor && v.kind !== "batch") ?? views.find(v => v.anchor);
  if (!v) return;
  const y = v.box.getBoundingClientRect().top + v.anchor[1] - (v.box.classList.contains("scroll") ? v.box.scrollTop : 0), top = 170, bottom = innerHeight - (oneColumn() ? innerHeight * .48 : 40);
  if (y < top || y > bottom) scrollTo({top: scrollY + y - (top + bottom) / 2, behavior: S.opening || matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth"});
}
function back() {
  const p = S.past.pop();
  if (!p) { select(null); return; }
  if (p.n !== S.n) { S.n = p.n; showSample(); }
  select(R(p.t, p.w, p.i), {keep: true, scroll: true});
}
function marks() { // the library's lines that computed the chosen entry, where the code is open
  document.querySelectorAll(".src .hit").forEach(d => d.classList.remove("hit"));
  for (const m of S.why?.made ?? []) for (const [no] of m.rule?.lines ?? []) document.querySelectorAll(`#op-${m.op} > .lanes .src.${m.dir} [data-line="${no}"]`).forEach(d => d.classList.add("hit"));
}
function wires() { // a curve from each part to the chosen entry
  const svg = $("wire"), to = views.find(v => v.anchor && v.kind !== "batch") ?? views.find(v => v.anchor);
  svg.replaceChildren();
  if (!to || !S.why?.parts.length) return;
  const base = $("score").getBoundingClientRect();
  svg.setAttribute("width", base.width); svg.setAttribute("height", base.height);
  const middle = (v, r) => { const b = v.box.getBoundingClientRect(), inside = v.box.classList.contains("scroll") ? v.box.scrollTop : 0; return [b.left - base.left + r[0] + r[2] / 2, b.top - base.top + Math.min(Math.max(r[1] + r[3] / 2 - inside, 0), b.height)]; };
  const [x2, y2] = middle(to, to.anchor), done = new Set();
  let paths = "";
  for (const v of views) {
    const key = v.w + v.t;
    if (!v.part || v === to || done.has(key) || (v.kind === "batch" && views.some(u => u !== v && u.part && u.t === v.t && u.w === v.w))) continue;
    done.add(key);
    const [x1, y1] = middle(v, v.part), down = y2 > y1 ? 1 : -1, start = y1 + down * Math.min(v.part[3], 300) / 2, end = y2 - down * to.anchor[3] / 2, bend = Math.abs(end - start) * .45, c = v.w === "g" ? "var(--bwd)" : "var(--fwd)";
    paths += Math.abs(end - start) < 30 ? `<path stroke="${c}" d="M${x1} ${y1} Q${(x1 + x2) / 2} ${Math.min(y1, y2) - 34} ${x2} ${y2}"/>` : `<path stroke="${c}" d="M${x1} ${start} C${x1} ${start + down * bend} ${x2} ${end - down * bend} ${x2} ${end}"/><circle cx="${x1}" cy="${start}" r="2.6" fill="${c}"/>`;
  }
  svg.innerHTML = paths;
}

// --- the address holds the state: #n=15&sel=2,g,1700&at=8 ------------------------------------------------------------
let writing = 0;
function address() { // at most 4 times a second: browsers refuse more
  if (writing) return;
  writing = setTimeout(() => {
    writing = 0;
    const parts = P.samples ? [`n=${S.n}`] : [];
    if (S.sel) parts.push(`sel=${S.sel.t},${S.sel.w},${S.sel.i}`);
    if (S.at !== END) parts.push(`at=${S.at}`);
    if (S.theme) parts.push(`theme=${S.theme}`);
    S.written = "#" + parts.join("&");
    try { history.replaceState(null, "", S.written); } catch { /* a frame in a notebook may refuse */ }
  }, 250);
}
function readAddress(hash = location.hash) {
  const q = new URLSearchParams(hash.slice(1)), n = Number(q.get("n")), at = q.get("at"), sel = q.get("sel")?.match(/^(\d+),([vgad]),(\d+)$/);
  if (q.get("theme") === "dark" || q.get("theme") === "light") S.theme = q.get("theme");
  if (q.has("n") && P.samples && Number.isInteger(n) && n >= 0 && n < P.samples) S.n = n;
  S.at = at != null && Number.isInteger(+at) && +at >= 0 && +at <= END ? +at : END;
  return sel && T[sel[1]] && has(+sel[1], sel[2]) && +sel[3] < product(T[sel[1]].shape) ? R(+sel[1], sel[2], +sel[3]) : null;
}

// --- replay ----------------------------------------------------------------------------------------------------------
let playing = 0;
function eventText(at, follow) {
  if (at >= END && !follow) return `The whole step, all ${END} events`;
  if (at === 0) return "Before the step";
  const e = EVENTS[at - 1];
  return `${at} of ${END}: ` + (e.kind === "update" ? "update" : `${OPS[e.op].name} ${e.kind}`);
}
function listed(names) { return names.length > 4 ? names.slice(0, 3).join(", ") + ` and ${names.length - 3} more` : names.length > 1 ? names.slice(0, -1).join(", ") + " and " + names.at(-1) : names.join(""); }
// One sentence of what happens in an event.
function eventHtml(e) {
  if (e.kind === "update") return `${esc(M.optimizer.name)} changes ${listed(T.map((_, t) => t).filter(t => has(t, "a")).map(nice))}, each number by its gradient.` + (M.loss_after == null ? "" : ` The loss of this batch ${M.loss_after <= M.loss_value ? "falls" : "rises"} from ${pair(M.loss_value, M.loss_after).join(" to ")}.`);
  const o = OPS[e.op], given = o.inputs.map(x => x.tensor).filter(t => t != null);
  if (e.kind === "forward") return `${esc(o.name)} computes ${nice(o.result)} from ${listed(given.map(nice))}. ${esc(o.purpose)}`;
  const sent = given.filter(t => T[t].grad && T[t].requires_grad).map(t => heading(t, "g")), start = (M.roots ?? [M.loss]).includes(o.result);
  return `${start ? "Backward starts with " + heading(o.result, "g") + " = 1. " : ""}${esc(o.name)} turns ${heading(o.result, "g")} into ${listed(sent) || "nothing"}` + (sent.length && !moves(o) ? `, by the formula${sent.length > 1 ? "s" : ""} on its card.` : ".");
}
function moment(at, follow = false) {
  S.at = Math.max(0, Math.min(END, at));
  views.forEach(v => { v.cell.textContent = ""; v.draw(); });
  if (S.sel && waits(S.sel.t, S.sel.w)) { S.sel = null; S.why = null; S.past = []; }
  document.querySelectorAll(".nowop").forEach(o => o.classList.remove("nowop"));
  const e = S.at > 0 && (S.at < END || follow) ? EVENTS[S.at - 1] : null, line = $("event"), card = e && $(e.kind === "update" ? "update" : `op-${e.op}`);
  card?.classList.add("nowop");
  if (follow && card) card.scrollIntoView({block: card.offsetHeight < innerHeight * .7 ? "center" : "start"});
  line.hidden = !e; line.innerHTML = e ? eventHtml(e) : "";
  $("now").textContent = eventText(S.at, follow); masthead();
  rail(); showSample(); refresh();
}
function play() {
  if (playing) { clearInterval(playing); playing = 0; } else {
    if (S.at >= END) moment(0, true);
    playing = setInterval(() => { moment(S.at + 1, true); if (S.at >= END) play(); }, 1300);
  }
  $("play").textContent = playing ? "❚❚ Pause" : "▶ Replay";
}
function stop() { if (playing) play(); }

// --- the rail: forward down the left side, the gradient up the right -------------------------------------------------
function rail() {
  const count = OPS.length, visited = OPS.map((_, k) => k).filter(k => OPS[k].visited), top = visited[0] ?? 0, forward = EVENTS.slice(0, S.at).filter(e => e.kind === "forward").length, backward = new Set(EVENTS.slice(0, S.at).filter(e => e.kind === "backward").map(e => e.op));
  const cur = S.at < END ? EVENTS[S.at - 1] : null, high = Math.max(26, Math.min(64, ((window.innerHeight || 900) - 320) / Math.max(1, count)));
  const y = k => 30 + k * high, turn = y(count - 1) + high * .9, update = turn + 50, left = 7, right = 115, cls = k => [cur?.op === k && "cur", OPS[k].ill && "ill"].filter(Boolean).join(" ");
  const lowest = backward.size ? Math.min(...backward) : null;
  let s = `<svg width="124" height="${update + 24}"><path class="off" stroke-width="2" d="M${left} 8V${turn - 12}Q${left} ${turn} ${left + 12} ${turn}H${right - 12}Q${right} ${turn} ${right} ${turn - 12}V${y(top) - 14}"/>`;
  s += forward >= count ? `<path class="fl" stroke-width="2.5" d="M${left} 8V${turn - 12}Q${left} ${turn} ${left + 12} ${turn}H46"/>` : `<path class="fl" stroke-width="2.5" d="M${left} 8V${forward ? y(forward - 1) : 8}"/>`;
  if (lowest != null) s += `<path class="bl" stroke-width="2.5" d="M72 ${turn}H${right - 12}Q${right} ${turn} ${right} ${turn - 12}V${y(lowest) - (lowest === top ? 14 : 0)}"/>` + (lowest === top ? `<path class="bl" stroke-width="2" d="M${right - 5} ${y(top) - 9}L${right} ${y(top) - 15}L${right + 5} ${y(top) - 9}"/>` : "");
  OPS.forEach((o, k) => { s += `<a tabindex="0" role="link" data-to="op-${k}" aria-label="${esc(o.name)}${o.layer ? ", " + esc(o.layer) : ""}${o.ill ? ", gradients are wrong" : ""}" class="${cls(k)}"><rect y="${y(k) - 12}" width="118" height="24" fill="transparent"/><circle class="f ${forward > k ? "on" : "wait"}" cx="${left}" cy="${y(k)}" r="5"/>${o.visited ? `<circle class="b ${backward.has(k) ? "on" : "wait"}" cx="${right}" cy="${y(k)}" r="5"/>` : ""}<text x="61" y="${y(k) + 4}" text-anchor="middle">${o.ill ? "✗ " : ""}${esc(short(o.name, 12))}</text></a>`; });
  const loss = M.loss != null, end = S.at === END && M.optimizer;
  if (loss) s += `<a tabindex="0" role="link" data-to="t-${M.loss}" aria-label="the loss"><rect x="46" y="${turn - 12}" width="28" height="24" fill="var(--bg)"/><text x="60" y="${turn + 4}" text-anchor="middle" font-style="italic">L</text></a>`;
  if (M.optimizer) s += `<a tabindex="0" role="link" data-to="update" aria-label="Update"><rect x="22" y="${update - 13}" width="78" height="26" rx="13" fill="${end ? "var(--ink)" : "none"}" stroke="var(--line2)"/><text x="61" y="${update + 4}" text-anchor="middle" style="fill:${end ? "var(--bg)" : "var(--ink3)"}">Update</text></a>`;
  $("rail").innerHTML = s + "</svg>";
  const step = Math.max(84, 660 / (count + 2)), x = k => 36 + k * step, edge = x(count - 1) + 48;
  let h = `<svg width="${edge + 92}" height="40"><path class="${forward ? "fl" : "off"}" stroke-width="2.5" d="M4 8H${forward >= count ? edge : Math.max(4, x(forward - 1))}"/>` + (lowest == null ? "" : `<path class="bl" stroke-width="2.5" d="M${edge} 8Q${edge + 12} 8 ${edge + 12} 20T${edge} 33H${x(lowest) - 26}M${x(lowest) - 20} 29l-6 4l6 4"/>`);
  OPS.forEach((o, k) => { h += `<a tabindex="0" role="link" data-to="op-${k}" aria-label="${esc(o.name)}" class="${cls(k)}"><rect x="${x(k) - step / 2}" width="${step}" height="40" fill="transparent"/><text x="${x(k)}" y="24" text-anchor="middle">${o.ill ? "✗ " : ""}${esc(short(o.name, 11))}</text></a>`; });
  if (M.optimizer) h += `<a tabindex="0" role="link" data-to="update" aria-label="Update"><rect x="${edge + 16}" width="76" height="40" fill="transparent"/><text x="${edge + 54}" y="25" text-anchor="middle">Update</text></a>`;
  $("hrail").innerHTML = h + "</svg>";
  if (oneColumn() && cur?.op != null) $("hrail").scrollLeft = x(cur.op) - 300;
}
for (const id of ["rail", "hrail"]) {
  const go = e => { const a = e.target.closest("a"); if (a) { e.preventDefault(); $(a.dataset.to)?.scrollIntoView({block: "start"}); } };
  $(id).addEventListener("click", go);
  $(id).addEventListener("keydown", e => { if (e.key === "Enter") go(e); });
}

// --- the page --------------------------------------------------------------------------------------------------------
// Formulas that are wider than their place get smaller, down to 11 pixels; beyond that they scroll.
function fit(host) {
  const wide = [...host.querySelectorAll(".fx")].filter(e => e.clientWidth && e.scrollWidth > e.clientWidth).map(e => [e, e.clientWidth / e.scrollWidth]);
  for (const [e, ratio] of wide) e.style.setProperty("--math", `${Math.max(11, 14.5 * ratio).toFixed(1)}px`);
}
function lanes(host, leftOf, rightOf) { const a = el("div"), b = el("div"); host.append(el("div", {cls: "lanes"}, a, b)); leftOf(a); rightOf(b); }
function arrayHead(t, w, what) {
  const end = largest(t, w), inked = pixels(t, w), shown = T[t].shape.length > 0 && !T[t].whole && (end || !strangeOf(t, w)), strip = el("canvas", {width: 46, height: 8, title: inked ? "from 0 to 1" : `from −${fmt(end, 3)} to ${fmt(end, 3)}, 0 in the middle`});
  strip.style.cssText = "width:46px;height:8px";
  if (shown) scales.push([strip, inked]);
  return el("div", {cls: "arrhead"}, el("b", {html: heading(t, w)}), el("span", {}, shapeText(t)), el("span", {cls: "what"}, what), shown ? el("span", {cls: "scale"}, inked ? "0 to 1" : `±${fmt(end, 3)}`, strip) : null);
}
function drawScales() { for (const [c, inked] of scales) { const g = c.getContext("2d"); for (let x = 0; x < 46; x++) { g.fillStyle = css(inked ? INK[Math.round(255 * x / 45)] : colour(x - 22.5, 22.5)); g.fillRect(x, 0, 1, 8); } } }
const unitNote = (t, w) => { const power = T[t].whole ? 0 : unit(largest(t, w)); return power ? `, in units of 10${sup(power)}` : ""; };
function strange(host, t, w) { // how many entries are nan or infinite, and the first of them
  const [nan, infinite, first] = strangeOf(t, w) ?? [];
  if (nan || infinite) host.append(el("p", {cls: "cap ill"}, [nan && `${nan} nan`, infinite && `${infinite} infinite`].filter(Boolean).join(", ") + ` of ${product(T[t].shape)}: `, el("button", {cls: "lnk", type: "button", onclick: () => select(R(t, w, first), {scroll: true})}, "see the first")));
}
function failure(host, t) { // where analytic and numeric gradients part
  const x = T[t];
  if (!x.failed?.length) return;
  host.append(el("p", {cls: "cap ill"}, `✗ ${x.failed.length} of ${x.checked} checked entries differ from the central difference: `, el("button", {cls: "lnk", type: "button", onclick: () => select(R(t, "g", x.failed[0]), {scroll: true})}, "see the largest")));
}
function array(host, t, w, what, into = el("div", {cls: "arr"})) {
  host.append(into);
  const x = T[t];
  into.append(arrayHead(t, w, what));
  strange(into, t, w);
  if (w === "g") failure(into, t);
  if (x.batched && x.shape.length > 1) {
    const readable = new View(el("div"), t, w, "sample"), unitText = readable.text ? unitNote(t, w) : "";
    into.append(el("p", {cls: "cap caps", "data-unit": unitText}, `sample ${S.n}${unitText}`), readable.box);
    into.append(el("p", {cls: "cap"}, `the whole batch: a row for each of ${P.samples} samples`)); new View(into, t, w, "batch");
  } else {
    const v = new View(el("div"), t, w, "all"), notes = [];
    if (w === "v" && x.parameter) notes.push(x.grid[0] > 1 ? `one picture for each ${x.shape.length > 2 ? "kernel" : "output"}${x.shape.length === 2 ? ", laid out as its input" : ""}` : x.shape.length === 1 ? "one number for each output" : "");
    if (w === "v" && x.batched) notes.push("one number for each sample");
    if (w === "g" && x.shape.length) notes.push(`norm ${fmt(norm(t, "g"), 3)}`);
    if (w === "d" && !strangeOf(t, w)) notes.push(`its norm is ${fmt(100 * norm(t, "d") / (norm(t, "v") || 1), 2)} % of the parameter's`);
    if (v.text && x.shape.length) notes.push(unitNote(t, w).slice(2));
    if (x.shape.length) into.append(el("p", {cls: "cap", title: "norm: the square root of the sum of all squares"}, notes.filter(Boolean).join(", ") || "\u00a0"));
    into.append(v.box);
  }
}
function noGradient(x) {
  if (x.whole) return "<b>No gradient.</b> Whole numbers have no slope.";
  if (!x.requires_grad) return `<b>Backward does not come here.</b> ${x.made_by == null ? x.buffer ? "It is not trained: the forward pass keeps it up to date." : x.detached != null ? "It is detached: the numbers of another value, without how they were made." : `It is ${x.name === "X" || x.name === "t" ? "data" : "given"}, not trained.` : OPS[x.made_by].inputs.some(y => y.tensor != null && T[y.tensor].requires_grad) ? "It was computed without a tape." : "It was computed from data alone, before any number that is trained."}`;
  return "<b>No gradient came here.</b> No path that backward walked leads to it.";
}
const drawn = new Set();
function picture(host, t) { // an input of images, one sample at a time, beside what the network makes of it
  const side = el("div", {cls: "picture", id: `t-${t}`}), probs = P.scores != null && el("div", {cls: "probs" + (P.longClasses ? " long" : ""), id: "probs"});
  const v = new View(el("div"), t, "v", "sample", {width: T[t].grid[0] > 1 ? LANE : 180, most: 24});
  host.append(arrayHead(t, "v", "the input"), el("p", {cls: "cap caps", "data-unit": ""}, `sample ${S.n}`), side);
  side.append(v.box, probs || "");
}
function tensorRow(host, t) {
  if (drawn.has(t)) return;
  drawn.add(t);
  const x = T[t], by = OPS[x.made_by], section = el("section", {cls: "tensor", id: `t-${t}`}), senders = [...new Set(x.used_by.filter(([k]) => OPS[k].visited).map(([k]) => OPS[k].name))];
  host.append(section);
  lanes(section, h => {
    if (t === P.image?.tensor) picture(h, t);
    else array(h, t, "v", by ? `result of ${by.name}` : x.was != null ? `${T[x.was].name}, written in place` : t === P.labels ? "the labels" : "");
  }, h => {
    if (x.grad) array(h, t, "g", senders.length ? `from ${senders.join(", ")}` : "where backward starts");
    else h.append(el("div", {cls: "nograd", html: noGradient(x)}));
  });
}
function operation(host, o, k) {
  const card = el("section", {cls: "op" + (o.ill ? " ill" : "") + (moves(o) ? " thin" : ""), id: `op-${k}`}), code = button("Show code", () => toggleCode(card), {"aria-expanded": "false"});
  host.append(card);
  card.append(el("header", {}, el("h2", {}, o.name), el("span", {cls: "mono", title: o.place}, o.layer), o.forward || o.backward ? code : null));
  if (o.purpose && !moves(o)) card.append(el("p", {cls: "purpose"}, o.purpose));
  const gradients = o.gradients.map((rule, j) => [rule, j]).filter(([rule, j]) => rule && o.inputs[j].tensor != null && T[o.inputs[j].tensor].grad);
  const none = text => `<span class="none">${text}</span>`, start = o.visited && (M.roots ?? [M.loss]).includes(o.result) ? none(`Backward starts here, with ${heading(o.result, "g")} = 1.`) : "";
  lanes(card, h => h.append(el("div", {cls: "fx f", html: moves(o) ? none(movedText(o)) : o.rule ? formula(o.rule) : `<span class="mono">${esc(formulaText(o, "forward"))}</span>`})),
    h => h.append(el("div", {cls: "fx b", html: !o.on_tape ? none(`Backward does not come here: it ${o.inputs.some(x => x.tensor != null && T[x.tensor].requires_grad) ? "ran without a tape." : "was given data only, nothing that is trained."}`) : !o.visited ? none("Backward did not come here: the loss does not depend on it.") : moves(o) ? none("Backward returns each gradient to the place of its number.") : start + (gradients.length ? gradients.map(([rule]) => `<div>${formula(rule)}</div>`).join("") : `<span class="mono">${esc(formulaText(o, "backward"))}</span>`)})));
  const rules = moves(o) ? [] : [o.rule, ...gradients.map(([rule]) => rule)].filter(Boolean), notes = [lettersText(o, rules), rules.some(rule => hasBracket(rule.value)) && BRACKET].filter(Boolean);
  if (notes.length) card.append(el("p", {cls: "cap"}, notes.join(" ")));
  lanes(card, h => { if (o.forward) h.append(sourceBox(o.forward, `${o.name}.forward`, "forward")); }, h => { if (o.backward && o.on_tape) h.append(sourceBox(o.backward, `${o.name}.backward`, "backward")); });
  for (const {tensor: t} of o.inputs) {
    if (t == null || drawn.has(t) || T[t].made_by != null) continue;
    if (!T[t].parameter && !T[t].buffer && T[t].batched && T[t].shape.length > 1) continue;
    drawn.add(t);
    const x = T[t];
    lanes(card, h => { const a = el("div", {cls: "arr", id: `t-${t}`}); array(h, t, "v", x.parameter ?? x.buffer ?? (t === P.labels ? "the label of each sample" : ""), a); }, h => { const a = el("div", {cls: "arr"}); if (x.grad) array(h, t, "g", "", a); else { h.append(a); a.append(el("div", {cls: "nograd", html: noGradient(x)})); } });
  }
}
function movedText(o) {
  const x = o.inputs.find(x => x.tensor != null)?.tensor, y = o.result, one = t => T[t].shape.slice(1).join(" × ");
  if (x == null) return "Moves numbers; none changes.";
  if (o.inputs.filter(x => x.tensor != null).length > 1) return `${nice(y)} holds the numbers of ${listed(o.inputs.filter(x => x.tensor != null).map(x => nice(x.tensor)))}: none changes.`;
  if (T[y].batched && T[y].shape.length === 2 && T[x].shape.length > 2) return `${nice(y)}[n] is sample ${nice(x)}[n] with its ${one(x)} numbers in one row: none changes.`;
  return T[x].shape.join() === T[y].shape.join() ? `${nice(y)} holds the numbers of ${nice(x)}: none changes.` : `${nice(y)} (${shapeText(y) || "one number"}) holds numbers of ${nice(x)} (${shapeText(x) || "one number"}): they only move, none changes.`;
}
function lettersText(o, rules) { // what the indices are
  const text = JSON.stringify(rules.map(rule => [rule.entry, rule.value])), names = [...new Set([...text.matchAll(/\["index","(\w+)"\]/g)].map(([, name]) => name))], last = o.rule?.axes.length > 1 ? o.rule.axes.at(-1) : null;
  const image = T[o.result].batched && T[o.result].shape.length === 4 ? {c: "channel", i: "row", j: "column"} : {}, meaning = name => o.letters[name] ?? image[name] ?? (name === "n" && T[o.result].batched ? "sample" : name === last && T[o.result].per_class ? "class" : name === last && T[o.result].batched && o.rule.axes.length === 2 ? "place in the sample" : null);
  const known = names.map(name => [name, meaning(name)]).filter(([, what]) => what);
  return known.length ? `Indices: ${known.map(([name, what]) => `${name} ${what}`).join(", ")}.` : "";
}
function toggleCode(card) {
  const open = card.classList.toggle("code"), b = card.querySelector("header .btn");
  b.textContent = open ? "Hide code" : "Show code"; b.setAttribute("aria-expanded", open);
  wires();
}
function updateSection(host) {
  const o = M.optimizer;
  if (!o) return;
  const s = el("section", {cls: "upd", id: "update"}), group = o.groups[0] ?? {}, code = button("Show code", () => toggleCode(s), {"aria-expanded": "false"}), options = Object.entries(group).filter(([, v]) => v !== false && v != null && v !== 0).map(([k, v]) => `${k} ${v}`).join(", ");
  host.append(s);
  s.append(el("header", {}, el("h2", {}, `Update: ${o.name}`), el("span", {cls: "cap"}, options), o.source ? code : null));
  const example = T.findIndex(x => x.update?.length), bare = e => !Array.isArray(e) ? e : e[0] === "entry" ? ["entry", e[1], []] : e.map(bare), rule = example < 0 ? null : T[example].update;
  const docstring = el("div", {cls: "fx b" + (rule ? " doc" : ""), style: "height:auto;margin-top:8px"}, el("span", {cls: "mono"}, o.formula.replace(/ {2,}\(/g, "   (")));
  if (rule) s.append(el("p", {cls: "purpose", html: `What this run did to each parameter, written for ${nice(example)}` + (o.plain ? ": the learning rate times its gradient was subtracted." : ":")}), el("div", {cls: "fx b", style: "height:auto"}, ...rule.map(line => el("div", {html: formula({formula: line.formula, entry: bare(line.entry), value: bare(line.value)})}))));
  s.append(docstring);
  if (o.source) s.append(sourceBox(o.source, `${o.name}.update`, "update"));
  lanes(s, h => h.append(el("p", {cls: "cap", style: "margin-top:14px"}, "The parameters after it")), h => h.append(el("p", {cls: "cap", style: "margin-top:14px"}, "Their change")));
  for (const t of T.map((_, t) => t).filter(t => has(t, "a"))) lanes(s, h => array(h, t, "a", ""), h => array(h, t, "d", ""));
  if (M.loss_after != null) effect(s);
}
// What the update did to the loss, in sentences.
function effectText() {
  const before = M.loss_value, after = M.loss_after, fall = before - after, promised = Number.isFinite(fall) && M.optimizer.plain && P.promised;
  const said = [`The loss of the batch ${Number.isFinite(fall) ? fall >= 0 ? "fell" : "rose" : "went"} from <b>${pair(before, after).join("</b> to <b>")}</b>.`];
  if (P.losses) {
    const a = blob(P.losses.before), b = blob(P.losses.after), fell = a.filter((v, n) => b[n] < v).length, rose = a.filter((v, n) => b[n] > v).length;
    said.push(`${fell} of its ${a.length} samples got a smaller loss, ${rose} a larger one${rose && fell ? ": the update serves their mean, not each of them" : ""}.`);
  }
  if (promised) said.push(`Each number moved by the learning rate times its gradient. If the loss were a straight line in that direction, it would fall by the learning rate times the sum of all squared gradients: <b>${fmt(promised, 4)}</b>. It ${fall >= 0 ? "fell" : "rose"} by <b>${fmt(Math.abs(fall), 4)}</b>${fall > 0 ? `, ${Math.round(100 * fall / promised)} % of that` : ""}: ${Math.abs(fall / promised - 1) < .005 ? "so short a step is almost straight" : "the slope changes on the way"}.`);
  return said;
}
function effect(host) {
  const box = el("div", {cls: "effect", id: "effect", tabindex: -1});
  host.append(box);
  lanes(box, h => h.append(el("h3", {}, "The same batch, with the new parameters"), ...effectText().map(say)),
    h => {
      if (!P.losses) return;
      const a = blob(P.losses.before), b = blob(P.losses.after), rows = Array.from(a, (v, n) => [n, v, b[n]]).sort((p, q) => (Number.isNaN(q[1]) ? Infinity : q[1]) - (Number.isNaN(p[1]) ? Infinity : p[1]) || 0).slice(0, 16), end = most(rows.flatMap(r => [r[1], r[2]])), X = v => 92 + v / (end || 1) * 240;
      h.append(el("h3", {}, `Loss of ${a.length > 16 ? "the 16 worst samples" : "each sample"}: ○ before, ● after`), el("p", {cls: "cap"}, P.classes ? "sample: its label" : "sample"), el("div", {html: `<svg width="352" height="${rows.length * 17 + 22}" role="img" aria-label="${esc(rows.map(([n, p, q]) => `sample ${n}: ${fmt(p, 3)} before, ${fmt(q, 3)} after`).join("; "))}">` + rows.map(([n, p, q], k) => `<text x="0" y="${k * 17 + 18}">${n}${P.classes ? ": " + esc(short(className(labelOf(n)), 8)) : ""}${wrong(n) ? " ✗" : ""}</text><path d="M92 ${k * 17 + 14}H332" stroke="var(--line)"/>${Number.isFinite(p) && Number.isFinite(q) ? `<path d="M${X(p)} ${k * 17 + 14}H${X(q)}" stroke="var(--ink2)" stroke-width="2"/><circle cx="${X(p)}" cy="${k * 17 + 14}" r="4" fill="var(--bg)" stroke="var(--ink2)" stroke-width="1.6"/><circle cx="${X(q)}" cy="${k * 17 + 14}" r="4.2" fill="var(--ink)"/>` : `<text x="96" y="${k * 17 + 18}" style="paint-order:stroke;stroke:var(--bg);stroke-width:4px">${fmt(p, 3)}, then ${fmt(q, 3)}</text>`}`).join("") + `<text x="92" y="${rows.length * 17 + 18}" text-anchor="middle">0</text><text x="332" y="${rows.length * 17 + 18}" text-anchor="middle">${fmt(end, 3)}</text></svg>`}));
    });
}
function masthead() { // what is known by now
  const after = S.at === END ? M.loss_after : null, fall = M.loss_value - after, [from, to] = after == null ? [column(M.loss_value)] : pair(M.loss_value, after), cell = (k, v) => el("div", {}, el("small", {}, k), el("b", {}, v));
  const known = M.loss_value != null && (M.loss == null || timeOf(M.loss, "v") <= S.at);
  $("losses").replaceChildren(...known ? [cell("loss of this batch", from), ...after == null ? [] : [el("span", {cls: "to", "aria-hidden": "true"}, "→"), cell("after the update", to), Number.isFinite(fall) ? el("span", {cls: fall >= 0 ? "fall" : "rise"}, `${fall >= 0 ? "▼" : "▲"} ${fmt(Math.abs(fall), 3)}`) : ""]] : []);
}
function build() {
  const flow = $("flow");
  OPS.forEach((o, k) => {
    for (const {tensor: t} of o.inputs) if (t != null && T[t].made_by == null && T[t].batched && T[t].shape.length > 1 && !T[t].parameter && !T[t].buffer) tensorRow(flow, t);
    operation(flow, o, k);
    tensorRow(flow, o.result);
  });
  updateSection($("score"));
}

// --- keys ------------------------------------------------------------------------------------------------------------
addEventListener("keydown", e => {
  if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest?.("input, textarea, select")) return;
  const onButton = e.target.closest?.("button, a");
  const radio = e.target.getAttribute?.("role") === "radio" && {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[e.key];
  if (radio) { sample((S.n + radio + P.samples) % P.samples); $("samples").children[S.n].focus(); e.preventDefault(); return; }
  const act = {
    n: () => sample(S.n + 1), p: () => sample(S.n - 1), g: other, "[": () => { stop(); moment(S.at - 1, true); }, "]": () => { stop(); moment(S.at + 1, true); },
    c: () => { const made = S.why?.made?.[0], card = made ? $(`op-${made.op}`) : S.why?.update ? $("update") : null; (card ? [card] : document.querySelectorAll(".op")).forEach(toggleCode); },
    " ": onButton ? null : play, Backspace: back, Escape: () => select(null),
    ArrowLeft: neighbour, ArrowRight: neighbour, ArrowUp: neighbour, ArrowDown: neighbour,
  }[e.key];
  if (act && act(e) !== false) e.preventDefault();
});
function other() { if (S.sel) { const w = S.sel.w === "v" ? "g" : "v"; if (has(S.sel.t, w)) select(R(S.sel.t, w, S.sel.i), {keep: true, scroll: true}); } }
function neighbour(e) { // the arrows move the chosen entry, wherever the focus is
  const v = S.sel && views.find(v => v.anchor && v.kind !== "batch");
  if (!v || e.target.closest?.(".inspector, .view")) return false;
  v.key(e);
  return true;
}

// --- start -----------------------------------------------------------------------------------------------------------
async function start() {
  const chosen = readAddress(), dark = matchMedia("(prefers-color-scheme: dark)");
  setTheme(S.theme ?? (dark.matches ? "dark" : "light"));
  const packed = D.blobs.map((b, k) => b.zip && b.same == null ? k : -1).filter(k => k >= 0), large = chosen ? [] : packed.filter(k => D.blobs[k].n > 100000);
  S.late = large.length > 0;
  await Promise.all(packed.filter(k => !large.includes(k)).map(inflate));
  build(); fit($("flow")); drawScales(); drawSamples();
  S.opening = true;
  moment(S.at); idle($("intro"));
  if (chosen) select(chosen, {keep: true, scroll: true});
  else if (P.open) $(`op-${OPS.findIndex(o => o.layer === P.open)}`)?.scrollIntoView({block: "start"});
  S.opening = false;
  $("play").addEventListener("click", play);
  $("back").addEventListener("click", () => { stop(); moment(S.at - 1, true); });
  $("on").addEventListener("click", () => { stop(); moment(S.at + 1, true); });
  dark.addEventListener("change", () => { if (!S.theme) { setTheme(dark.matches ? "dark" : "light"); repaint(); } });
  addEventListener("hashchange", e => { const {hash} = new URL(e.newURL || location.href, "file:///"); if (hash === S.written) return; const r = readAddress(hash); if (S.theme) { setTheme(S.theme); repaint(); } moment(S.at); select(r, {keep: true, scroll: true}); });
  let resizing; addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(() => { drawSamples(); rail(); wires(); }, 100); });
  let shown; // paper is light, and has no window: everything is drawn
  addEventListener("beforeprint", () => { shown ??= root.dataset.theme; setTheme("light"); views.forEach(v => { v.near = v.stale = true; v.paint(); }); drawScales(); drawSamples(); inspector(); wires(); });
  addEventListener("afterprint", () => { if (shown && shown !== "light") { setTheme(shown); repaint(); } shown = null; });
  document.querySelector(".skip").addEventListener("click", e => { e.preventDefault(); $("flow").focus(); }); // a notebook's frame has no address to jump in
  document.querySelectorAll(".view.scroll").forEach(b => b.addEventListener("scroll", wires, {passive: true}));
  requestAnimationFrame(() => setTimeout(() => { performance.mark("first-picture"); root.dataset.first = Math.round(performance.now()); })); // once it is on the screen
  for (const k of large) { await new Promise(done => setTimeout(done)); await inflate(k); views.filter(v => v.stale && v.near).forEach(v => v.paint()); }
  S.late = false;
  if (large.length) views.forEach(v => { if (product(T[v.t].shape) > 100000) v.draw(); });
  root.dataset.ready = Math.round(performance.now());
}
function repaint() { drawScales(); drawSamples(); views.forEach(v => v.draw()); rail(); refresh(); }
start();
})();
