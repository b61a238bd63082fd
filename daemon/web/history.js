// History: what was on the air when, drawn over time and frequency. SPDX-License-Identifier: GPL-3.0-or-later
import { $, ask, clock, mhz, surface, when } from "./dom.js";
import { classColour, classMark } from "./colours.js";

const SPANS = { "10 min": 600e3, "1 h": 3600e3, "6 h": 6 * 3600e3, "1 d": 86400e3, "7 d": 7 * 86400e3 };
const STEPS = [10e3, 60e3, 300e3, 900e3, 3600e3, 3 * 3600e3, 6 * 3600e3, 86400e3];
const PAGE = 500, PAGES = 4;
const LEFT = 64, BOTTOM = 20;

export class History {
  // filter(): the list's filters; onPick(emission)
  constructor(filter, onPick) {
    this.filter = filter;
    this.items = [];
    this.hits = [];
    this.span = SPANS["10 min"];
    this.end = null;                 // null: now
    this.turn = null;                // of the question that is under way
    this.canvas = $("timeline");
    this.canvas.addEventListener("click", e => { const it = this.at(e); if (it) onPick(it); });
    this.canvas.addEventListener("mousemove", e => this.hover(e));
    this.canvas.addEventListener("keydown", e => this.key(e));
    this.canvas.addEventListener("wheel", e => { if (e.ctrlKey) { e.preventDefault(); this.zoom(e.deltaY > 0 ? 1 : -1); } }, { passive: false });
    for (const b of document.querySelectorAll("#spans button")) b.addEventListener("click", () => this.setSpan(SPANS[b.textContent]));
    $("earlier").addEventListener("click", () => this.move(-1));
    $("later").addEventListener("click", () => this.move(1));
    $("now").addEventListener("click", () => { this.end = null; this.load(); });
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  setSpan(ms) {
    this.span = ms;
    this.load();
  }

  zoom(way) {
    const all = Object.values(SPANS), k = all.indexOf(this.span) + way;
    if (all[k]) this.setSpan(all[k]);
  }

  move(way) {
    const end = (this.end ?? Date.now()) + way * this.span / 2;
    this.end = end >= Date.now() ? null : end;
    this.load();
  }

  key(e) {
    const act = { ArrowLeft: () => this.move(-1), ArrowRight: () => this.move(1), "+": () => this.zoom(-1), "-": () => this.zoom(1) }[e.key];
    if (!act) return;
    e.preventDefault();
    act();
  }

  // Asks for what the window shows, newest first, in at most PAGES pages.
  async load() {
    const turn = this.turn = {}, end = this.end ?? Date.now(), begin = end - this.span, items = [];
    let next = null, trouble = "";
    try {
      for (let k = 0; k < PAGES; k++) {
        const q = new URLSearchParams({ since: new Date(begin).toISOString(), until: new Date(end).toISOString(), limit: PAGE });
        for (const [name, value] of Object.entries(this.filter())) if (value !== "" && value !== undefined) q.set(name, value);
        if (next) q.set("cursor", next);
        const body = await ask("api/v1/emissions?" + q);
        if (this.turn !== turn) return;
        items.push(...body.items);
        next = body.next;
        if (!next) break;
      }
    } catch (e) {
      trouble = e.message;
    }
    if (this.turn !== turn) return;
    this.turn = null;
    Object.assign(this, { items, begin, until: end });
    for (const e of items) { e.start_ms = Date.parse(e.start); e.end_ms = e.state === "active" ? end : Date.parse(e.end ?? e.start); }
    $("h-note").textContent = trouble || (next ? `the newest ${items.length}; there are more` : items.length ? `${items.length} emissions` : "nothing in this time");
    for (const b of document.querySelectorAll("#spans button")) b.setAttribute("aria-pressed", SPANS[b.textContent] === this.span);
    $("now").setAttribute("aria-pressed", this.end === null);
    this.draw();
  }

  draw() {
    const [g, w, h] = surface(this.canvas);
    this.hits = [];
    if (!this.until || w <= LEFT) return;
    const lo = Math.min(...this.items.map(e => e.f_lo_hz)), hi = Math.max(...this.items.map(e => e.f_hi_hz));
    const pad = Math.max(1e3, 0.04 * (hi - lo)), x = t => LEFT + (t - this.begin) / this.span * (w - LEFT);
    const y = f => (h - BOTTOM) * (1 - (f - lo + pad) / (hi - lo + 2 * pad));
    g.font = "11px system-ui, sans-serif";
    this.drawTimes(g, w, h, x);
    if (!this.items.length) return;
    g.fillStyle = "#9fb0bd";
    g.textAlign = "right";
    for (let k = 0; k <= 4; k++) { const f = lo + k / 4 * (hi - lo); g.fillText(mhz(f, 3), LEFT - 6, Math.max(10, y(f) + 4)); }
    for (const e of this.items) this.drawOne(g, e, x, y, w);
  }

  drawTimes(g, w, h, x) {
    const step = STEPS.find(s => s / this.span * (w - LEFT) > 70) ?? STEPS[STEPS.length - 1], zone = new Date(this.until).getTimezoneOffset() * 60e3;
    g.textAlign = "center";
    for (let t = Math.ceil((this.begin - zone) / step) * step + zone; t <= this.until; t += step) {
      const d = new Date(t), text = step >= 86400e3 ? d.toLocaleDateString() : clock(d, step < 60e3);
      g.fillStyle = "#ffffff1c";
      g.fillRect(x(t), 0, 1, h - BOTTOM);
      g.fillStyle = "#9fb0bd";
      if (x(t) < w - 24) g.fillText(text, x(t), h - 6);
    }
  }

  drawOne(g, e, x, y, w) {
    const left = Math.max(LEFT, x(e.start_ms)), width = Math.max(2, Math.min(w, x(e.end_ms)) - left), top = y(e.f_hi_hz), height = Math.max(3, y(e.f_lo_hz) - top);
    g.globalAlpha = 0.35;
    g.fillStyle = classColour(e.class);
    g.fillRect(left, top, width, height);
    g.globalAlpha = 1;
    g.fillRect(left, top, 2, height);
    if (width > 14 && height > 9) { g.textAlign = "left"; g.fillText(classMark(e.class) + (width > 70 ? " " + (e.class ?? "") : ""), left + 4, top + Math.min(height, 14) - 2); }
    this.hits.push({ x: left - 2, y: top - 2, w: width + 4, h: height + 4, e });
  }

  at(ev) {
    const b = this.canvas.getBoundingClientRect(), x = ev.clientX - b.left, y = ev.clientY - b.top;
    const found = this.hits.filter(t => x >= t.x && x <= t.x + t.w && y >= t.y && y <= t.y + t.h).sort((p, q) => p.w * p.h - q.w * q.h);
    return found.length ? found[0].e : null;
  }

  hover(ev) {
    const e = this.at(ev);
    this.canvas.title = e ? `${e.class ?? "not decided"} ${mhz(e.center_hz)} MHz, ${when(e.start_ms)}` : "";
  }
}
