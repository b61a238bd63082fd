// Elements and figures. Text goes in as text, never as markup: whatever comes off the air is harmless by construction.
// SPDX-License-Identifier: GPL-3.0-or-later

export const $ = id => document.getElementById(id);

export function el(tag, text, className) {
  const e = document.createElement(tag);
  if (text !== undefined && text !== null) e.textContent = text;
  if (className) e.className = className;
  return e;
}

export function option(value, text) {
  const o = el("option", text);
  o.value = value;
  return o;
}

export const mhz = (f, digits = 4) => (f / 1e6).toFixed(digits);
// Of this day the time alone, with 24 hours: receivers' logs have them too, and they are short.
export const clock = (t, withSeconds = true) => new Date(t).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: withSeconds ? "2-digit" : undefined, hourCycle: "h23" });
export const when = t => new Date(t).toDateString() === new Date().toDateString() ? clock(t) : `${new Date(t).toLocaleDateString([], { day: "2-digit", month: "2-digit" })} ${clock(t)}`;
export const figure = (x, digits, unit = "") => x === undefined || x === null ? "–" : x.toFixed(digits) + unit;

// Milliseconds, or seconds where those are many.
export function ms(x, digits = 1) {
  if (x === undefined || x === null) return "–";
  return x >= 1000 ? (x / 1000).toFixed(1) + " s" : x.toFixed(x >= 100 ? 0 : digits) + " ms";
}

export function hz(n) {
  if (n >= 1e6) return (n / 1e6).toFixed(2) + " MHz";
  if (n >= 1e4) return (n / 1e3).toFixed(0) + " kHz";
  return n >= 1e3 ? (n / 1e3).toFixed(1) + " kHz" : Math.round(n) + " Hz";
}

export function bytes(n) {
  return n >= 1e6 ? (n / 1e6).toFixed(1) + " MB" : (n / 1e3).toFixed(0) + " KB";
}

export function count(n) {
  if (n >= 1e9) return (n / 1e9).toFixed(2) + " G";
  return n >= 1e6 ? (n / 1e6).toFixed(1) + " M" : n >= 1e4 ? (n / 1e3).toFixed(0) + " k" : String(n);
}

export function seconds(s) {
  if (s < 90) return s.toFixed(0) + " s";
  return s < 5400 ? (s / 60).toFixed(0) + " min" : s < 172800 ? (s / 3600).toFixed(1) + " h" : (s / 86400).toFixed(1) + " d";
}

// kind: good, warn, bad or empty. Unchanged text is not set again: screen readers would say it again.
export function pill(node, text, kind) {
  if (node.textContent !== text) node.textContent = text;
  node.className = "pill " + kind;
  node.hidden = !text;
}

// A bar of share (0..1), with a line at limit (0..1) where one is given.
export function meter(share, limit, over) {
  const box = el("div", null, "meter" + (over ? " over" : "")), fill = el("i");
  fill.style.width = (100 * Math.max(0, Math.min(1, share || 0))).toFixed(1) + "%";
  box.append(fill);
  if (limit !== undefined) {
    const line = el("b");
    line.style.left = (100 * limit).toFixed(1) + "%";
    box.append(line);
  }
  return box;
}

// The address of a path beside the page, without a name and password of the page's own: fetch refuses those.
export const beside = path => new URL(path, location.origin + location.pathname);

const PATIENCE_MS = 30000;   // a search may take attuned ten seconds

export async function ask(path) {
  const r = await fetch(beside(path), { cache: "no-cache", signal: AbortSignal.timeout(PATIENCE_MS) });
  const body = await r.json();
  if (!r.ok) throw new Error(body.error ? body.error.message : r.status);
  return body;
}

// A job that is not begun again before it has ended: where answers are slow, questions do not pile up. What asks for it
// meanwhile is served by one more turn.
export function inTurn(job) {
  let runs = false, again = false;
  return async () => {
    again = true;
    if (runs) return;
    runs = true;
    try {
      while (again) {
        again = false;
        await job();
      }
    } finally {
      runs = false;
    }
  };
}

// A canvas in the size that it has on the screen: [context, width, height] in CSS pixels, emptied.
export function surface(canvas) {
  const k = window.devicePixelRatio || 1, w = canvas.clientWidth, h = canvas.clientHeight;
  if (canvas.width !== Math.round(w * k) || canvas.height !== Math.round(h * k)) {
    canvas.width = Math.round(w * k);
    canvas.height = Math.round(h * k);
  }
  const g = canvas.getContext("2d");
  g.setTransform(k, 0, 0, k, 0, 0);
  g.clearRect(0, 0, w, h);
  return [g, w, h];
}

// The next of 1, 2, 5, 10, ... at or above x.
export function niceStep(x) {
  const p = 10 ** Math.floor(Math.log10(x));
  return (x / p > 5 ? 10 : x / p > 2 ? 5 : x / p > 1 ? 2 : 1) * p;
}
