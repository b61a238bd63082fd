// Backend and budget: what runs, what it costs against the budget, why it runs, and what changed when.
// SPDX-License-Identifier: GPL-3.0-or-later
import { $, bytes, count, el, figure, meter, ms, when } from "./dom.js";

// The line at the limit stands at two thirds: what is over the budget can be seen as such.
function gauge(label, value, limit, text) {
  const box = el("div"), head = el("span"), scale = Math.max(1.5 * limit, value || 0);
  head.append(el("b", label), el("span", text));
  box.append(head, meter((value || 0) / scale, limit / scale, value > limit));
  return box;
}

export function drawBudget(s) {
  const d = s.decisions, limit = s.budget.latency_ms;
  $("meters").replaceChildren(
    gauge("decision latency p50", d.latency_p50_ms, limit, `${ms(d.latency_p50_ms)} of ${limit} ms`),
    gauge("decision latency p95", d.latency_p95_ms, limit, `${ms(d.latency_p95_ms)} of ${limit} ms`),
    gauge("inference p95", d.inference_p95_ms, limit, `${ms(d.inference_p95_ms, 2)} (p50 ${ms(d.inference_p50_ms, 2)})`),
    gauge("KV caches", s.kv_bytes, s.budget.kv_mb * 1e6, `${bytes(s.kv_bytes)} of ${s.budget.kv_mb} MB, peak ${bytes(s.kv_peak_bytes)}`));
  $("over").textContent = `${count(d.budget_exceeded)} of ${count(d.count)} decisions took more than ${limit} ms to compute, ${d.sessions} sessions, ${count(d.queue_depth)} tokens wait`;
}

// Two rows: the figures, and below them why it runs or does not.
function candidateRows(c) {
  const tr = el("tr", null, c.active ? "on" : ""), below = el("tr", null, "why"), why = el("td", c.reason ?? c.cannot ?? "");
  why.colSpan = 6;
  below.append(why);
  tr.append(el("td", c.backend + (c.mode === "fp32" ? "" : " " + c.mode)), el("td", c.window, "n"), el("td", figure(c.live_p50_ms, 2), "n"),
    el("td", figure(c.live_p95_ms ?? c.calibrated_ms, 2), "n"), el("td", c.kv_bytes_per_session ? bytes(c.kv_bytes_per_session) : "–", "n"),
    el("td", c.active ? "● runs" : c.fits ? "✓ fits" : "✕ no"));
  return why.textContent && why.textContent !== "fits" ? [tr, below] : [tr];
}

export function drawSelector(s) {
  $("backend").textContent = s.backend;
  $("mode").textContent = [s.mode, s.window && "window " + s.window, s.kernel && "kernel " + s.kernel, s.forced && "forced"].filter(Boolean).join(", ");
  $("why").textContent = (s.over_budget ? "over budget: " : "") + (s.reason ?? "");
  $("candidates").tBodies[0].replaceChildren(...s.candidates.flatMap(candidateRows));
  const rows = s.changes.slice(0, 20).map(c => el("li", `${c.time ? when(c.time) + "  " : ""}${c.from ? c.from + " → " : ""}${c.to}: ${c.reason}`));
  $("changes").replaceChildren(...(rows.length ? rows : [el("li", "none yet", "quiet")]));
}
