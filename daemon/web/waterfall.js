// Waterfall and spectrum on canvases. SPDX-License-Identifier: GPL-3.0-or-later
import { LEVELS, classColour, classMark } from "./colours.js";
import { niceStep, surface } from "./dom.js";

export class Waterfall {
  // onPick(id): a box was clicked.
  constructor(onPick) {
    this.rows = document.getElementById("rows");
    this.overlay = document.getElementById("overlay");
    this.spectrum = document.getElementById("spectrum");
    this.axis = document.getElementById("axis");
    this.height = 200;      // rows kept
    this.newest = null;
    this.times = [];        // of rows, newest first
    this.low = null;        // dB that is dark
    this.range = 60;
    this.boxes = true;
    this.hits = [];
    this.picked = null;
    this.overlay.addEventListener("click", e => this.pick(e, onPick));
    this.overlay.addEventListener("mousemove", e => this.hover(e));
    this.overlay.addEventListener("mouseleave", () => { this.mouse = null; this.hovered = null; this.dirty = true; });
    new ResizeObserver(() => { this.dirty = true; }).observe(this.overlay);
  }

  reset() {
    this.newest = null; this.waiting = []; this.times = []; this.low = null; this.dirty = true;
    this.rows.width = 1; this.rows.height = this.height;
  }

  // Takes a row; it is painted with the next frame.
  add(row) {
    if (!row.dbfs.length) return;
    this.waiting.push(row);
    if (this.waiting.length > this.height) this.waiting.shift();   // a hidden page paints nothing
    this.newest = row;
    this.dirty = true;
  }

  // Scrolls by the rows that wait and paints them: one copy of the canvas, one small image.
  paintRows() {
    const rows = this.waiting, n = rows.length && rows[rows.length - 1].dbfs.length;
    this.waiting = [];
    for (const row of rows) this.level(row);
    const fresh = rows.filter(r => r.dbfs.length === n && r.center_hz === this.newest.center_hz).reverse();
    if (!fresh.length) return;
    const g = this.rows.getContext("2d"), image = g.createImageData(n, fresh.length), words = new Uint32Array(image.data.buffer);
    const scale = 255 / this.range;
    fresh.forEach((row, k) => {
      for (let i = 0; i < n; i++) words[k * n + i] = LEVELS[Math.max(0, Math.min(255, Math.round(scale * (row.dbfs[i] - this.low))))];
    });
    g.drawImage(this.rows, 0, fresh.length);
    g.putImageData(image, 0, 0);
    this.times.unshift(...fresh.map(r => Date.parse(r.time)));
    this.times.length = Math.min(this.times.length, this.height);
  }

  // Lets the darkest level follow the floor and the range follow the strongest.
  level(row) {
    const n = row.dbfs.length;
    if (this.rows.width !== n || this.tuned !== row.center_hz) {
      this.rows.width = n; this.rows.height = this.height; this.times = []; this.low = null; this.tuned = row.center_hz;
    }
    const sorted = Float32Array.from(row.dbfs).sort(), base = sorted[Math.floor(n * 0.2)], top = sorted[n - 1];
    this.low = this.low === null ? base - 4 : this.low + 0.05 * (base - 4 - this.low);
    this.range += 0.02 * (Math.max(35, Math.min(90, top - this.low)) - this.range);
  }

  // Share of the height at which time t (ms) stands; 0 is the newest row.
  place(t) {
    const a = this.times;
    if (!a.length) return 0;
    if (t >= a[0]) return 0;
    let lo = 0, hi = a.length - 1;
    if (t <= a[hi]) return a.length / this.height;
    while (hi - lo > 1) { const m = (lo + hi) >> 1; if (a[m] > t) lo = m; else hi = m; }
    return (lo + (a[lo] - t) / Math.max(1, a[lo] - a[hi])) / this.height;
  }

  draw(emissions) {
    if (!this.dirty) return;
    this.dirty = false;
    this.paintRows();
    this.drawSpectrum();
    this.drawAxis();
    this.drawBoxes([...emissions.values()]);
  }

  drawSpectrum() {
    const [g, w, h] = surface(this.spectrum), row = this.newest;
    if (!row) return;
    const y = db => h - 4 - (h - 8) * (db - this.low) / this.range, n = row.dbfs.length;
    g.font = "11px system-ui, sans-serif";
    for (let db = Math.ceil(this.low / 20) * 20; db < this.low + this.range; db += 20) {
      g.fillStyle = "#ffffff1c"; g.fillRect(0, y(db), w, 1);
      g.fillStyle = "#9fb0bd"; if (y(db) < h - 14) g.fillText(db + " dBFS", 4, y(db) - 3);
    }
    g.beginPath();
    row.dbfs.forEach((db, i) => g.lineTo((i + 0.5) / n * w, y(db)));
    g.strokeStyle = "#7fd4ff"; g.lineWidth = 1.2; g.stroke();
    g.lineTo(w, h); g.lineTo(0, h); g.fillStyle = "#7fd4ff22"; g.fill();
  }

  drawAxis() {
    const [g, w] = surface(this.axis), row = this.newest;
    if (!row) return;
    const lo = row.center_hz - row.rate_hz / 2, step = niceStep(row.rate_hz / Math.max(3, w / 110));
    g.font = "11px system-ui, sans-serif"; g.fillStyle = "#c4d0d9"; g.textAlign = "center";
    for (let f = Math.ceil(lo / step) * step; f < lo + row.rate_hz; f += step) {
      const x = (f - lo) / row.rate_hz * w;
      g.fillRect(x, 0, 1, 5);
      if (x > 28 && x < w - 62) g.fillText((f / 1e6).toFixed(step < 1e4 ? 4 : step < 1e5 ? 3 : 2), x, 18);
    }
    g.textAlign = "right"; g.fillStyle = "#8fa0ad"; g.fillText("MHz", w - 4, 18);
  }

  drawBoxes(emissions) {
    const [g, w, h] = surface(this.overlay), row = this.newest;
    this.hits = [];
    if (!row) return;
    const lo = row.center_hz - row.rate_hz / 2, oldest = this.times[this.times.length - 1];
    g.font = "600 11px system-ui, sans-serif";
    const taken = [];
    const order = [...emissions].sort((p, q) => (p.state === "active" ? 0 : 1) - (q.state === "active" ? 0 : 1) || (q.snr_db ?? 0) - (p.snr_db ?? 0));
    for (const e of this.boxes ? order : []) {
      const end = e.state === "active" ? Infinity : e.end_ms;
      if (end < oldest || e.radio !== row.radio) continue;
      let x = (e.f_lo_hz - lo) / row.rate_hz * w, width = Math.max(3, (e.f_hi_hz - e.f_lo_hz) / row.rate_hz * w);
      const top = this.place(end) * h, bottom = Math.min(this.place(e.start_ms), this.times.length / this.height) * h;
      const colour = classColour(e.class);
      g.strokeStyle = colour; g.lineWidth = e.id === this.picked ? 2.5 : 1.2;
      g.globalAlpha = e.state === "active" || e.id === this.picked ? 1 : 0.65;
      g.strokeRect(x - 1, top + 0.5, width + 2, Math.max(3, bottom - top - 1));
      this.hits.push({ x: x - 3, y: top - 2, w: width + 6, h: Math.max(6, bottom - top + 4), e });
      this.label(g, e, x, top, w, taken, colour);
      g.globalAlpha = 1;
    }
    if (this.mouse) this.drawMouse(g, w, h, lo, row);
    g.fillStyle = "#c4d0d9"; g.font = "11px system-ui, sans-serif"; g.textAlign = "left";
    const span = this.times.length > 1 ? (this.times[0] - oldest) / 1000 : 0;
    if (span > 0) g.fillText("−" + span.toFixed(span < 10 ? 1 : 0) + " s", 4, Math.min(h - 4, this.times.length / this.height * h - 4));
  }

  label(g, e, x, top, w, taken, colour) {
    const text = e.class ? classMark(e.class) + " " + e.class + (e.confidence ? " " + Math.round(100 * e.confidence) + "%" : "") : "…";
    const width = g.measureText(text).width + 8;
    let left = Math.min(Math.max(0, x - 1), w - width), y = top + 2;
    const blocked = () => taken.some(t => left < t.x + t.w && t.x < left + width && y < t.y + 15 && t.y < y + 15);
    // A label gives way downwards to those that stand there already; past ones and crowds go without.
    for (let k = 0; k < 5 && e.state === "active" && blocked(); k++) y += 15;
    if (blocked() && e.id !== this.picked) return;
    taken.push({ x: left, y, w: width });
    g.fillStyle = "#0b0f14cc"; g.fillRect(left, y, width, 14);
    g.fillStyle = colour; g.textAlign = "left"; g.fillText(text, left + 4, y + 11);
  }

  drawMouse(g, w, h, lo, row) {
    const f = lo + this.mouse.x / w * row.rate_hz, text = (f / 1e6).toFixed(4) + " MHz";
    g.fillStyle = "#ffffff66"; g.fillRect(this.mouse.x, 0, 1, h);
    g.font = "11px system-ui, sans-serif";
    const width = g.measureText(text).width + 8, x = Math.min(this.mouse.x + 6, w - width);
    g.fillStyle = "#0b0f14dd"; g.fillRect(x, h - 20, width, 16);
    g.fillStyle = "#fff"; g.textAlign = "left"; g.fillText(text, x + 4, h - 8);
    if (this.hovered) this.drawTip(g, w, h, this.hovered);
  }

  // What is under the pointer, beside it.
  drawTip(g, w, h, e) {
    const lines = [`${classMark(e.class)} ${e.class ?? "not decided yet"}${e.confidence === undefined ? "" : " " + Math.round(100 * e.confidence) + "%"}`,
      `${(e.center_hz / 1e6).toFixed(4)} MHz, ${((e.f_hi_hz - e.f_lo_hz) / 1e3).toFixed(1)} kHz`, `SNR ${(e.snr_db ?? 0).toFixed(1)} dB${e.service ? ", " + e.service : ""}`];
    if (e.backend) lines.push(`${e.backend} ${e.mode ?? ""}, ${(e.latency_ms ?? 0).toFixed(1)} ms`);
    g.font = "11px system-ui, sans-serif";
    const width = Math.max(...lines.map(t => g.measureText(t).width)) + 12, height = 15 * lines.length + 6;
    const x = this.mouse.x + width + 14 < w ? this.mouse.x + 12 : Math.max(0, this.mouse.x - width - 12), y = Math.max(0, Math.min(this.mouse.y + 10, h - height - 22));
    g.fillStyle = "#0b0f14ee"; g.fillRect(x, y, width, height);
    g.strokeStyle = classColour(e.class); g.lineWidth = 1; g.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
    g.fillStyle = "#fff"; g.textAlign = "left";
    lines.forEach((t, k) => g.fillText(t, x + 6, y + 15 * k + 14));
  }

  at(e) {
    const b = this.overlay.getBoundingClientRect(), x = e.clientX - b.left, y = e.clientY - b.top;
    const found = this.hits.filter(t => x >= t.x && x <= t.x + t.w && y >= t.y && y <= t.y + t.h);
    found.sort((p, q) => p.w - q.w);
    return [x, y, found.length ? found[0].e : null];
  }

  hover(ev) {
    const [x, y, e] = this.at(ev);
    this.mouse = { x, y };
    this.hovered = e;
    this.dirty = true;
  }

  pick(ev, onPick) {
    const e = this.at(ev)[2];
    if (e) onPick(e.id);
  }
}
