// Waterfall and spectrum on canvases. SPDX-License-Identifier: GPL-3.0-or-later
import { LEVELS, classColour, classMark, classWhat } from "./colours.js";
import { ms, niceStep, surface } from "./dom.js";

const SMALL = "11px system-ui, sans-serif", BOLD = "600 " + SMALL;
const LANES = 3, LANE = 16, SCALE = 24;   // of the strip between spectrum and waterfall: names above frequencies

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
    this.names = [];
    this.overlay.addEventListener("click", e => this.pick(e, onPick));
    this.axis.addEventListener("click", e => { const n = this.nameAt(e); if (n) onPick(n.e.id); });
    this.axis.addEventListener("mousemove", e => { this.axis.style.cursor = this.nameAt(e) ? "pointer" : ""; });
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
    const wanted = Math.max(35, Math.min(120, top + 6 - this.low));
    this.range += (wanted > this.range ? 0.3 : 0.01) * (wanted - this.range);
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
    const all = [...emissions.values()].filter(e => e.radio === this.newest?.radio && e.band === this.newest.band);
    this.drawAxis(this.boxes ? all.filter(e => e.state === "active") : []);
    this.drawBoxes(this.boxes ? all : []);
  }

  drawSpectrum() {
    const [g, w, h] = surface(this.spectrum), row = this.newest;
    if (!row) return;
    const y = db => h - 4 - (h - 8) * (db - this.low) / this.range, n = row.dbfs.length;
    const marks = [];
    for (let db = Math.ceil(this.low / 20) * 20; db < this.low + this.range; db += 20) marks.push(db);
    g.fillStyle = "#ffffff1c";
    for (const db of marks) g.fillRect(0, y(db), w, 1);
    g.beginPath();
    row.dbfs.forEach((db, i) => g.lineTo((i + 0.5) / n * w, y(db)));
    g.strokeStyle = "#7fd4ff"; g.lineWidth = 1.2; g.stroke();
    g.lineTo(w, h); g.lineTo(0, h); g.fillStyle = "#7fd4ff22"; g.fill();
    g.font = SMALL;
    for (const db of marks) if (y(db) > 14 && y(db) < h - 3) this.tag(g, `${db < 0 ? "−" : ""}${Math.abs(db)}${db === marks[marks.length - 1] || y(db + 20) <= 14 ? " dBFS" : ""}`, 4, y(db) - 14, "#c4d0d9");
  }

  // Text on a ground of its own, 14 px high; its width.
  tag(g, text, x, y, colour) {
    const width = g.measureText(text).width + 8;
    g.textAlign = "left"; g.fillStyle = "#0b0f14e6"; g.fillRect(x, y, width, 14);
    g.fillStyle = colour; g.fillText(text, x + 4, y + 11);
    return width;
  }

  // Frequencies, and above them the names of what is on the air, each with a line to its place.
  drawAxis(active) {
    const [g, w, h] = surface(this.axis), row = this.newest;
    this.names = [];
    if (!row) return;
    const lo = row.center_hz - row.rate_hz / 2, step = niceStep(row.rate_hz / Math.max(3, w / 110)), base = h - SCALE;
    g.font = SMALL; g.textAlign = "center";
    for (let f = Math.ceil(lo / step) * step; f < lo + row.rate_hz; f += step) {
      const x = (f - lo) / row.rate_hz * w;
      g.fillStyle = "#c4d0d9"; g.fillRect(x, base, 1, 5);
      if (x > 28 && x < w - 62) g.fillText((f / 1e6).toFixed(step < 1e4 ? 4 : step < 1e5 ? 3 : 2), x, base + 17);
    }
    g.textAlign = "right"; g.fillStyle = "#8fa0ad"; g.fillText("MHz", w - 4, base + 17);
    this.placeNames(g, active, lo, row.rate_hz, w);
    for (const n of this.names) { g.fillStyle = classColour(n.e.class) + "b0"; g.fillRect(Math.round(n.at), n.y + 14, 1, base - n.y - 14); }
    g.font = BOLD;
    for (const n of this.names) {
      this.tag(g, n.text, n.x, n.y, classColour(n.e.class));
      if (n.e.id === this.picked) { g.strokeStyle = classColour(n.e.class); g.lineWidth = 1; g.strokeRect(n.x + 0.5, n.y + 0.5, n.w - 1, 13); }
    }
  }

  // Longest on the air first, so that names stay where they are; who finds no free lane is named by its box and the list.
  placeNames(g, active, lo, rate_hz, w) {
    g.font = BOLD;
    const order = active.filter(e => e.class).sort((p, q) => (p.id === this.picked ? 0 : 1) - (q.id === this.picked ? 0 : 1) || p.start_ms - q.start_ms);
    for (const e of order) {
      const at = (e.center_hz - lo) / rate_hz * w;
      const text = nameOf(e, w > 600), width = g.measureText(text).width + 8, x = Math.max(0, Math.min(w - width, at - width / 2));
      for (let lane = LANES - 1; lane >= 0 && at >= 0 && at <= w; lane--) {
        const y = lane * LANE;
        if (this.names.some(n => n.y === y && x < n.x + n.w + 3 && n.x < x + width + 3)) continue;
        this.names.push({ e, at, text, x, y, w: width });
        break;
      }
    }
  }

  nameAt(ev) {
    const b = this.axis.getBoundingClientRect(), x = ev.clientX - b.left, y = ev.clientY - b.top;
    return this.names.find(n => x >= n.x && x <= n.x + n.w && y >= n.y && y <= n.y + LANE);
  }

  drawBoxes(emissions) {
    const [g, w, h] = surface(this.overlay), row = this.newest;
    this.hits = [];
    if (!row) return;
    const lo = row.center_hz - row.rate_hz / 2, oldest = this.times[this.times.length - 1], ended = [], taken = [];
    const order = emissions.sort((p, q) => (p.state === "active" ? 1 : 0) - (q.state === "active" ? 1 : 0) || (q.snr_db ?? 0) - (p.snr_db ?? 0));
    for (const e of order) {
      const alive = e.state === "active", end = alive ? Infinity : e.end_ms, picked = e.id === this.picked;
      if (end < oldest) continue;
      const x = (e.f_lo_hz - lo) / row.rate_hz * w, width = Math.max(3, (e.f_hi_hz - e.f_lo_hz) / row.rate_hz * w);
      const top = this.place(end) * h, bottom = Math.min(this.place(e.start_ms), this.times.length / this.height) * h, high = Math.max(3, bottom - top - 1);
      g.lineWidth = picked ? 4.5 : 3; g.strokeStyle = "#0b0f1480"; g.strokeRect(x - 1, top + 0.5, width + 2, high);
      g.lineWidth = picked ? 2.5 : 1.2; g.strokeStyle = classColour(e.class) + (alive || picked ? "" : "c0"); g.strokeRect(x - 1, top + 0.5, width + 2, high);
      this.hits.push({ x: x - 3, y: top - 2, w: width + 6, h: Math.max(6, bottom - top + 4), e });
      if (!alive) ended.push({ e, x, top });
    }
    for (const { e, x, top } of ended) this.label(g, e, x, top, w, h, taken);   // above all boxes: their lines cross no name
    this.drawAbsences(g, w, h);
    if (this.mouse) this.drawMouse(g, w, h, lo, row);
    g.font = SMALL;
    const span = this.times.length > 1 ? (this.times[0] - oldest) / 1000 : 0;
    if (span > 0) this.tag(g, "−" + span.toFixed(span < 10 ? 1 : 0) + " s", 4, Math.min(h - 18, this.times.length / this.height * h - 18), "#c4d0d9");
  }

  // Between two rows the radio was elsewhere, or gave nothing: a line, and for how long.
  drawAbsences(g, w, h) {
    g.font = SMALL;
    for (let i = 0; i + 1 < this.times.length; i++) {
      const away = (this.times[i] - this.times[i + 1]) / 1000, y = Math.round((i + 1) / this.height * h);
      if (away < 1) continue;
      g.fillStyle = "#ffffff60"; g.fillRect(0, y, w, 1);
      const text = `${away.toFixed(away < 10 ? 1 : 0)} s not heard`;
      this.tag(g, text, w - g.measureText(text).width - 12, y + 1, "#c4d0d9");
    }
  }

  // What has ended is named where it ended, as long as names don't crowd.
  label(g, e, x, top, w, h, taken) {
    g.font = BOLD;
    const text = nameOf(e, false), width = g.measureText(text).width + 8, left = Math.max(0, Math.min(x - 1, w - width)), y = Math.max(1, top + 2);
    const crowded = taken.some(t => left < t.x + t.w + 4 && t.x < left + width + 4 && y < t.y + 34 && t.y < y + 34);
    if (y > this.times.length / this.height * h - 14 || crowded && e.id !== this.picked) return;
    taken.push({ x: left, y, w: width });
    this.tag(g, text, left, y, classColour(e.class));
  }

  drawMouse(g, w, h, lo, row) {
    const f = lo + this.mouse.x / w * row.rate_hz, text = (f / 1e6).toFixed(4) + " MHz";
    g.fillStyle = "#ffffff66"; g.fillRect(this.mouse.x, 0, 1, h);
    g.font = SMALL;
    const width = g.measureText(text).width + 8, x = Math.min(this.mouse.x + 6, w - width);
    g.fillStyle = "#0b0f14dd"; g.fillRect(x, h - 20, width, 16);
    g.fillStyle = "#fff"; g.textAlign = "left"; g.fillText(text, x + 4, h - 8);
    if (this.hovered) this.drawTip(g, w, h, this.hovered);
  }

  // What is under the pointer, beside it.
  drawTip(g, w, h, e) {
    const lines = [e.class ? nameOf(e, true) : "not decided yet", classWhat(e.class),
      `${(e.center_hz / 1e6).toFixed(4)} MHz, ${((e.f_hi_hz - e.f_lo_hz) / 1e3).toFixed(1)} kHz`, `SNR ${(e.snr_db ?? 0).toFixed(1)} dB${e.service ? ", " + e.service : ""}`].filter(Boolean);
    if (e.backend) lines.push(`${e.backend} ${e.mode ?? ""}, ${ms(e.latency_ms)}`);
    g.font = SMALL;
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

const nameOf = (e, sure) => e.class ? `${classMark(e.class)} ${e.class}${sure && e.confidence ? ` ${Math.round(100 * e.confidence)} %` : ""}` : "…";
