// The emissions that are known here, and their list: filters, keyboard. SPDX-License-Identifier: GPL-3.0-or-later
import { $, el, figure, hz, meter, mhz, ms, option, seconds, when } from "./dom.js";
import { classChip, classWhat } from "./colours.js";

const KEEP = 400, SHOW = 200;

export class Emissions {
  // onPick(id): a row was chosen.
  constructor(onPick) {
    this.known = new Map();       // id -> emission
    this.rows = new Map();        // id -> {tr, said}
    this.dirty = true;
    this.body = $("emissions").tBodies[0];
    this.body.addEventListener("click", e => { const tr = e.target.closest("tr"); if (tr) onPick(tr.dataset.id); });
    this.body.addEventListener("keydown", e => this.key(e, onPick));
    for (const id of ["f-state", "f-class", "f-band", "f-snr"]) $(id).addEventListener("input", () => { this.dirty = true; this.draw(); });
  }

  clear() {
    this.known.clear();
    this.dirty = true;
  }

  take(e) {
    const old = this.known.get(e.id);
    e.start_ms = e.start ? Date.parse(e.start) : old ? old.start_ms : Date.now();
    e.end_ms = e.state === "active" ? Infinity : e.end ? Date.parse(e.end) : (old && old.end_ms) || Date.now();
    e.seen_ms = Date.now();
    this.known.set(e.id, e);
    this.dirty = true;
    if (this.known.size > KEEP + 50) {
      const past = [...this.known.values()].filter(x => x.state !== "active").sort((a, b) => a.seen_ms - b.seen_ms);
      for (const x of past.slice(0, this.known.size - KEEP)) this.known.delete(x.id);
    }
  }

  // The filters as the API words them.
  filter() {
    const snr = parseFloat($("f-snr").value);
    return { state: $("f-state").value, class: $("f-class").value, band: $("f-band").value, min_snr: Number.isFinite(snr) ? snr : undefined };
  }

  shown() {
    const f = this.filter(), alive = e => e.state === "active" ? 0 : 1;
    return [...this.known.values()]
      .filter(e => (!f.state || e.state === f.state) && (!f.class || e.class === f.class) && (!f.band || e.band === f.band) && !(e.snr_db < f.min_snr))
      .sort((a, b) => alive(a) - alive(b) || (a.state === "active" ? a.center_hz - b.center_hz : b.start_ms - a.start_ms))
      .slice(0, SHOW);
  }

  row(e) {
    const seen = e.state === "active" ? "alive " + seconds((Date.now() - e.start_ms) / 1000) : e.start ? when(e.start_ms) : "–";
    const cells = [mhz(e.center_hz), hz(e.bandwidth_hz ?? e.f_hi_hz - e.f_lo_hz), figure(e.snr_db, 1), e.class, e.group, Math.round(100 * e.confidence),
      e.service ?? "", e.backend ? e.backend + (e.mode ? " " + e.mode : "") : "", e.latency_ms === undefined ? "" : ms(e.latency_ms), seen, e.band];
    const said = cells.join("|") + e.state + (e.id === this.picked);
    let r = this.rows.get(e.id);
    if (r && r.said === said) return r.tr;
    const tr = r ? r.tr : el("tr"), name = el("td"), conf = el("td"), box = el("div", null, "conf");
    tr.className = (e.state === "active" ? "" : "ended") + (e.id === this.picked ? " picked" : "");
    tr.dataset.id = e.id;
    name.append(classChip(e.class), e.class ? e.class + (e.group && e.group !== e.class ? ` (${e.group})` : "") : "deciding");
    name.title = classWhat(e.class);
    if (e.confidence !== undefined) box.append(meter(e.confidence), el("span", cells[5] + " %"));
    conf.append(box);
    tr.replaceChildren(el("td", cells[0], "n"), el("td", cells[1], "n"), el("td", cells[2], "n"), name, conf, el("td", cells[6]),
      el("td", cells[7]), el("td", cells[8], "n"), el("td", cells[9]), el("td", cells[10]));
    this.rows.set(e.id, { tr, said });
    return tr;
  }

  draw() {
    if (!this.dirty) return;
    this.dirty = false;
    const items = this.shown(), rows = items.map(e => this.row(e)), ids = new Set(items.map(e => e.id));
    for (const id of this.rows.keys()) if (!ids.has(id)) this.rows.delete(id);
    const focus = this.body.contains(document.activeElement) ? document.activeElement : null, old = this.body.rows;
    if (rows.length !== old.length || rows.some((tr, i) => tr !== old[i])) {
      this.body.replaceChildren(...rows);
      if (focus && focus.isConnected) focus.focus({ preventScroll: true });
    }
    const stop = rows.find(tr => tr === document.activeElement) ?? rows[0];
    for (const tr of rows) tr.tabIndex = tr === stop ? 0 : -1;
    $("none").hidden = rows.length > 0;
    $("none").textContent = this.known.size ? "nothing matches these filters" : "nothing on the air yet";
    $("n-shown").textContent = `${rows.length} of ${this.known.size}`;
  }

  key(e, onPick) {
    const rows = [...this.body.rows], at = rows.indexOf(e.target.closest("tr"));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + 10, PageUp: at - 10, Home: 0, End: rows.length - 1 }[e.key];
    if (to !== undefined && rows.length) {
      const next = rows[Math.max(0, Math.min(rows.length - 1, to))];
      rows.forEach(tr => { tr.tabIndex = tr === next ? 0 : -1; });
      next.focus();
    } else if (e.key === "Enter" || e.key === " ") {
      onPick(e.target.closest("tr").dataset.id);
    } else {
      return;
    }
    e.preventDefault();
  }
}

// Fills a select once with "all" and the names; keeps what is chosen.
export function fillSelect(select, names) {
  const key = names.join();
  if (select.dataset.names === key) return;
  select.dataset.names = key;
  const keep = select.value;
  select.replaceChildren(option("", "all"), ...names.map(n => option(n, n)));
  if (names.includes(keep)) select.value = keep;
}
