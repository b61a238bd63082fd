// The details of one emission. SPDX-License-Identifier: GPL-3.0-or-later
import { $, ask, el, figure, hz, meter, mhz, ms, when } from "./dom.js";
import { classChip, classWhat } from "./colours.js";

function drawProbs(e) {
  const best = Object.entries(e.probs ?? {}).sort((a, b) => b[1] - a[1]).slice(0, 6);
  $("d-probs").replaceChildren(...best.flatMap(([name, p]) => {
    const label = el("span");
    label.append(classChip(name), name);
    return [label, meter(p), el("span", (100 * p).toFixed(1) + " %", "n")];
  }));
}

function drawFacts(e) {
  const flag = (on, text) => on ? text : undefined;
  const facts = [["State", e.state === "active" ? "alive" : e.state], ["Centre", mhz(e.center_hz, 6) + " MHz"], ["Bandwidth", hz(e.bandwidth_hz ?? e.f_hi_hz - e.f_lo_hz)],
    ["SNR", e.snr_db !== undefined ? figure(e.snr_db, 1, " dB") : undefined], ["Level", e.level_dbfs !== undefined ? figure(e.level_dbfs, 1, " dBFS") : undefined],
    ["Group", e.group], ["Service hint", e.service], ["Backend", e.backend], ["Mode", e.mode && `${e.mode}, window ${e.window ?? "–"}`],
    ["Latency", e.latency_ms !== undefined ? ms(e.latency_ms) : undefined], ["Tokens", e.tokens],
    ["Share seen", e.share_seen !== undefined ? (100 * e.share_seen).toFixed(0) + " %" : undefined], ["Bursts", e.bursts],
    ["Duty", e.duty !== undefined ? (100 * e.duty).toFixed(0) + " %" : undefined], ["Begin", e.start], ["End", e.state === "active" ? undefined : e.end],
    ["Radio", `${e.radio}, band ${e.band}`], ["Gap", flag(e.gap, "samples were lost within it")], ["Band edge", flag(e.band_edge, "cut by the band")], ["Id", e.id]];
  $("d-facts").replaceChildren(...facts.filter(f => f[1] !== undefined && f[1] !== "").flatMap(([k, v]) => [el("dt", k), el("dd", v)]));
}

function drawDecisions(list) {
  $("d-past").hidden = !list.length;
  $("d-decisions").replaceChildren(...list.slice(-50).reverse().map(d =>
    el("li", `${when(d.time)}  ${d.class} ${figure(100 * d.confidence, 0)} %, ${d.backend}${d.mode ? " " + d.mode : ""}, ${ms(d.latency_ms)}`)));
}

const BESIDE = matchMedia("(min-width: 62.01rem)");

export class Details {
  constructor(onClose) {
    this.id = null;
    this.dialog = $("detail");
    this.dialog.addEventListener("close", () => { this.id = null; onClose(); });
    // A click beside the box closes it where it stands over the rest; Escape does always.
    this.dialog.addEventListener("click", e => { if (e.target === this.dialog && this.dialog.matches(":modal") && this.beside(e)) this.dialog.close(); });
    document.addEventListener("keydown", e => { if (e.key === "Escape" && this.dialog.open) this.dialog.close(); });
  }

  beside(e) {
    const b = this.dialog.getBoundingClientRect();
    return e.clientX < b.left || e.clientX > b.right || e.clientY < b.top || e.clientY > b.bottom;
  }

  show(e) {
    this.id = e.id;
    $("d-title").textContent = `${e.class ?? "not decided yet"}${e.confidence === undefined ? "" : " " + Math.round(100 * e.confidence) + " %"}, ${mhz(e.center_hz)} MHz`;
    $("d-what").textContent = classWhat(e.class);
    drawProbs(e);
    drawFacts(e);
    if (this.dialog.open) return;
    // Where there is room it stands beside the waterfall, which goes on; else over it.
    if (BESIDE.matches) this.dialog.show();
    else this.dialog.showModal();
  }

  // Shows e, and then what was decided about it before, where a history is kept.
  async open(e) {
    if (this.id !== e.id) drawDecisions([]);
    this.show(e);
    try {
      const whole = await ask("api/v1/emissions/" + encodeURIComponent(e.id));
      if (this.id === e.id) drawDecisions(whole.decisions ?? []);
    } catch { /* forgotten meanwhile: what is shown stays */ }
  }
}
