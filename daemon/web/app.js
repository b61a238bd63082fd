// The dashboard: follows the events, asks for the rest now and then. Strings go in as text, never as markup.
// SPDX-License-Identifier: GPL-3.0-or-later
"use strict";

const $ = id => document.getElementById(id);
const KEEP = 400;                 // emissions held here
const known = new Map();          // id -> emission
let radios = [], source = null, lastRow = 0, paused = false, listDirty = true, boot = null;

const fall = new Waterfall(openDetail);

function el(tag, text, className) {
  const e = document.createElement(tag);
  if (text !== undefined && text !== null) e.textContent = text;
  if (className) e.className = className;
  return e;
}
function bytes(n) { return n >= 1e6 ? (n / 1e6).toFixed(1) + " MB" : (n / 1e3).toFixed(0) + " KB"; }
function hz(n) { return n >= 1e6 ? (n / 1e6).toFixed(2) + " MHz" : n >= 1e4 ? (n / 1e3).toFixed(0) + " kHz" : n >= 1e3 ? (n / 1e3).toFixed(1) + " kHz" : Math.round(n) + " Hz"; }
function count(n) { return n >= 1e6 ? (n / 1e6).toFixed(1) + " M" : n >= 1e4 ? (n / 1e3).toFixed(0) + " k" : String(n); }
function seconds(s) { return s < 90 ? s.toFixed(0) + " s" : s < 5400 ? (s / 60).toFixed(0) + " min" : s < 172800 ? (s / 3600).toFixed(1) + " h" : (s / 86400).toFixed(1) + " d"; }
function pill(node, text, kind) { node.textContent = text; node.className = "pill " + kind; node.hidden = !text; }

async function ask(path) {
  const r = await fetch(path, { cache: "no-store" });
  const body = await r.json();
  if (!r.ok) throw new Error(body.error ? body.error.message : r.status);
  return body;
}

// ---- emissions ----

function take(e) {
  const old = known.get(e.id);
  e.start_ms = e.start ? Date.parse(e.start) : old ? old.start_ms : Date.now();
  e.end_ms = e.end ? Date.parse(e.end) : e.state === "ended" ? (old && old.end_ms) || Date.now() : Infinity;
  e.seen_ms = Date.now();
  known.set(e.id, e);
  if (known.size > KEEP) {
    const past = [...known.values()].filter(x => x.state !== "active").sort((a, b) => a.seen_ms - b.seen_ms);
    for (const x of past.slice(0, Math.max(50, known.size - KEEP))) known.delete(x.id);
  }
  listDirty = true;
  fall.dirty = true;
}

function shown() {
  const state = $("f-state").value, name = $("f-class").value, snr = parseFloat($("f-snr").value);
  return [...known.values()]
    .filter(e => (!state || e.state === state) && (!name || e.class === name) && !(e.snr_db < snr))
    .sort((a, b) => (a.state === "active" ? 0 : 1) - (b.state === "active" ? 0 : 1) ||
      (a.state === "active" ? a.center_hz - b.center_hz : b.start_ms - a.start_ms))
    .slice(0, 200);
}

function confidence(e) {
  const box = el("div", null, "conf"), meter = el("div", null, "meter"), fill = el("i");
  if (e.confidence === undefined) return el("span", "–", "quiet");
  fill.style.width = Math.round(100 * e.confidence) + "%";
  meter.append(fill);
  box.append(meter, el("span", Math.round(100 * e.confidence) + " %"));
  return box;
}

function drawList() {
  if (!listDirty) return;
  listDirty = false;
  const items = shown(), body = $("emissions").tBodies[0], focus = document.activeElement && document.activeElement.dataset.id;
  const rows = items.map(e => {
    const tr = el("tr", null, e.state === "active" ? "" : "ended");
    tr.dataset.id = e.id; tr.tabIndex = 0;
    if (e.id === fall.picked) tr.classList.add("picked");
    const name = el("td"), dot = el("span", null, "dot");
    dot.style.background = classColour(e.class);
    name.append(dot, e.class ? e.class + (e.group ? " (" + e.group + ")" : "") : "deciding");
    const conf = el("td");
    conf.append(confidence(e));
    const seen = e.state === "active" ? "alive " + seconds((Date.now() - e.start_ms) / 1000) : new Date(e.start_ms).toLocaleTimeString();
    tr.append(el("td", (e.center_hz / 1e6).toFixed(4), "n"), el("td", hz(e.bandwidth_hz ?? e.f_hi_hz - e.f_lo_hz), "n"),
      el("td", e.snr_db === undefined ? "–" : e.snr_db.toFixed(1), "n"), name, conf, el("td", e.service ?? ""),
      el("td", e.backend ?? ""), el("td", e.latency_ms === undefined ? "" : e.latency_ms.toFixed(1) + " ms", "n"),
      el("td", seen), el("td", e.radio));
    return tr;
  });
  body.replaceChildren(...rows);
  if (focus) { const again = rows.find(r => r.dataset.id === focus); if (again) again.focus(); }
  $("none").hidden = rows.length > 0;
  $("none").textContent = known.size ? "nothing matches these filters" : "nothing on the air yet";
}

function openDetail(id) {
  const e = known.get(id);
  if (!e) return;
  fall.picked = id; fall.dirty = true; listDirty = true;
  $("d-title").textContent = `${e.class ?? "not decided yet"}, ${(e.center_hz / 1e6).toFixed(4)} MHz`;
  const probs = Object.entries(e.probs ?? {}).sort((a, b) => b[1] - a[1]).slice(0, 6).flatMap(([name, p]) => {
    const meter = el("div", null, "meter"), fill = el("i");
    fill.style.width = (100 * p).toFixed(1) + "%";
    meter.append(fill);
    return [el("span", name), meter, el("span", (100 * p).toFixed(1) + " %")];
  });
  $("d-probs").replaceChildren(...probs);
  const facts = [["State", e.state], ["Bandwidth", hz(e.bandwidth_hz ?? 0)], ["SNR", e.snr_db !== undefined && e.snr_db.toFixed(1) + " dB"],
    ["Level", e.level_dbfs !== undefined && e.level_dbfs.toFixed(1) + " dBFS"], ["Group", e.group], ["Service", e.service],
    ["Bursts", e.bursts], ["Duty", e.duty !== undefined && (100 * e.duty).toFixed(0) + " %"], ["Begin", e.start], ["End", e.end],
    ["Backend", e.backend && `${e.backend} ${e.mode ?? ""}, window ${e.window ?? "–"}`], ["Tokens", e.tokens],
    ["Share seen", e.share_seen !== undefined && (100 * e.share_seen).toFixed(0) + " %"],
    ["Latency", e.latency_ms !== undefined && e.latency_ms.toFixed(1) + " ms"], ["Radio", `${e.radio}, ${e.band}`],
    ["Gap", e.gap && "samples were lost within it"], ["Band edge", e.band_edge && "cut by the band"], ["Id", e.id]];
  $("d-facts").replaceChildren(...facts.filter(f => f[1] !== undefined && f[1] !== false && f[1] !== "").flatMap(([k, v]) => [el("dt", k), el("dd", v)]));
  if (!$("detail").open) $("detail").showModal();
}

// ---- panels ----

function meter(label, value, limit, text) {
  const box = el("div"), head = el("span"), bar = el("div", null, "meter" + (value > limit ? " over" : "")), fill = el("i");
  head.append(el("b", label), el("span", text));
  fill.style.width = Math.min(100, 100 * value / limit || 0).toFixed(1) + "%";
  bar.append(fill);
  box.append(head, bar);
  return box;
}

function drawStatus(s) {
  if (boot && s.boot !== boot) { known.clear(); fall.reset(); listDirty = true; }
  boot = s.boot;
  $("site").textContent = s.site ?? "";
  $("n-active").textContent = count(s.emissions.active);
  $("n-seen").textContent = count(s.emissions.seen);
  $("n-decisions").textContent = count(s.decisions.count);
  $("uptime").textContent = seconds(s.uptime_s);
  pill($("ready"), s.ready ? "samples moving" : s.not_ready_reason, s.ready ? "good" : "bad");
  const d = s.decisions;
  $("meters").replaceChildren(
    meter("latency p95", d.latency_p95_ms ?? 0, s.budget.latency_ms, `${(d.latency_p95_ms ?? 0).toFixed(1)} of ${s.budget.latency_ms} ms`),
    meter("inference p95", d.inference_p95_ms ?? 0, s.budget.latency_ms, `${(d.inference_p50_ms ?? 0).toFixed(2)} ms p50, ${(d.inference_p95_ms ?? 0).toFixed(2)} p95`),
    meter("caches", s.kv_bytes, s.budget.kv_mb * 1e6, `${bytes(s.kv_bytes)} of ${s.budget.kv_mb} MB`));
}

function drawSelector(s) {
  $("backend").textContent = s.backend;
  $("mode").textContent = [s.mode, s.window && "window " + s.window, s.kernel && "kernel " + s.kernel].filter(Boolean).join(", ");
  $("why").textContent = (s.over_budget ? "over budget: " : "") + (s.reason ?? "");
  $("candidates").tBodies[0].replaceChildren(...s.candidates.map(c => {
    const tr = el("tr", null, c.active ? "on" : ""), ms = c.live_p95_ms ?? c.calibrated_ms;
    tr.title = c.reason ?? c.cannot ?? "";
    tr.append(el("td", c.backend + (c.mode === "fp32" ? "" : " " + c.mode)), el("td", c.window), el("td", ms === undefined ? "–" : ms.toFixed(2), "n"),
      el("td", c.kv_bytes_per_session ? (c.kv_bytes_per_session / 1e3).toFixed(0) : "–", "n"), el("td", c.active ? "● runs" : c.fits ? "yes" : "no"));
    return tr;
  }));
  $("changes").replaceChildren(...s.changes.slice(0, 12).map(c =>
    el("li", `${new Date(c.time).toLocaleTimeString()}  ${c.from ? c.from + " → " : ""}${c.to}: ${c.reason}`)));
}

const STATES = { running: "good", ended: "", starting: "warn", stalled: "bad", failed: "bad" };

function drawRadios(list) {
  radios = list;
  const lost = r => Object.values(r.samples.lost).reduce((a, b) => a + b, 0);
  if (list.length) $("radios").replaceChildren(...list.map(r => {
    const li = el("li"), head = el("div", null, "radio-head"), state = el("span", r.state, "pill " + (STATES[r.state] ?? ""));
    head.append(el("span", `${r.name} · ${r.band}`), state);
    const why = Object.entries(r.samples.lost).filter(x => x[1]).map(x => `${x[0]} ${count(x[1])}`).join(", ");
    li.append(head, el("div", r.label || r.device, "quiet"), el("div", `${hz(r.rate_hz)} at ${(r.center_hz / 1e6).toFixed(3)} MHz, ${(100 * (r.busy_ratio ?? 0)).toFixed(0)} % of a core`),
      el("div", `${count(r.samples.processed)} samples, lost ${count(lost(r))}${why ? " (" + why + ")" : ""}${r.reconnects ? ", reopened " + r.reconnects + "×" : ""}`));
    if (r.error) li.append(el("div", r.error, "quiet"));
    return li;
  }));
  const select = $("band"), names = list.map(r => r.name).join();
  if (select.dataset.names !== names) {
    select.dataset.names = names;
    const keep = select.value;
    select.replaceChildren(...list.map(r => { const o = el("option", `${r.band} (${r.name})`); o.value = r.name; return o; }));
    if (list.some(r => r.name === keep)) select.value = keep;
    startFall();
  }
  drawAirState();
}

function drawAirState() {
  const r = radios.find(x => x.name === $("band").value), quiet = Date.now() - lastRow > 3000;
  let text = "";
  if (source && source.readyState !== EventSource.OPEN) text = "connection lost, trying again";
  else if (!r) text = "no radio is configured";
  else if (r.state !== "running") text = r.state === "ended" ? "the file has ended" : `radio ${r.state}${r.error ? ": " + r.error : ""}`;
  else if (quiet && !paused) text = "waiting for a spectrum";
  $("air-state").textContent = text;
  $("air-state").hidden = !text || (r && r.state === "ended" && fall.newest);
}

// ---- events ----

function onRow(row) {
  if (row.radio !== $("band").value || paused) return;
  lastRow = Date.now();
  fall.add(row);
  $("tuned").textContent = `${(row.center_hz / 1e6).toFixed(3)} MHz, ${hz(row.rate_hz)} wide`;
  $("floor").textContent = row.floor_dbfs_hz === undefined ? "" : `floor ${row.floor_dbfs_hz.toFixed(0)} dBFS/Hz, ${(100 * (row.occupancy_ratio ?? 0)).toFixed(0)} % occupied`;
}

async function startFall() {
  const name = $("band").value;
  fall.reset();
  if (!name) return;
  try {
    const body = await ask("api/v1/waterfall?limit=200&radio=" + encodeURIComponent(name));
    body.items.forEach(onRow);
  } catch { /* none yet: the events bring them */ }
}

async function loadEmissions() {
  const body = await ask("api/v1/emissions?limit=200");
  known.clear();
  body.items.forEach(take);
  listDirty = true;
}

function connect() {
  source = new EventSource("api/v1/events?types=emission,decision,selector,radio,spectrum");
  source.onopen = () => { pill($("link"), "live", "good"); refresh(); loadEmissions().catch(() => {}); };
  source.onerror = () => pill($("link"), "disconnected, trying again", "bad");
  for (const type of ["emission", "decision"]) source.addEventListener(type, e => take(JSON.parse(e.data)));
  source.addEventListener("spectrum", e => onRow(JSON.parse(e.data)));
  source.addEventListener("radio", () => refresh());
  source.addEventListener("selector", () => refresh());
}

async function refresh() {
  try {
    const [status, list] = await Promise.all([ask("api/v1/status"), ask("api/v1/radios")]);
    drawStatus(status);
    drawRadios(list.items);
    drawSelector(await ask("api/v1/selector"));
  } catch (e) {
    $("why").textContent = e.message;
  }
  drawAirState();
}

async function loadClasses() {
  try {
    const m = await ask("api/v1/model");
    $("f-class").append(...[...m.classes, "unknown", "weak"].map(c => { const o = el("option", c); o.value = c; return o; }));
  } catch { setTimeout(loadClasses, 2000); }
}

// ---- start ----

function setTheme(name) {
  if (name) document.documentElement.dataset.theme = name;
  try { if (name) localStorage.setItem("theme", name); } catch { /* private window */ }
}
try { setTheme(localStorage.getItem("theme")); } catch { /* private window */ }
$("theme").onclick = () => {
  const now = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  setTheme(now === "dark" ? "light" : "dark");
};
$("pause").onclick = () => { paused = !paused; $("pause").setAttribute("aria-pressed", paused); $("pause").textContent = paused ? "Go on" : "Pause"; };
$("boxes").onchange = () => { fall.boxes = $("boxes").checked; fall.dirty = true; };
$("band").onchange = startFall;
for (const id of ["f-state", "f-class", "f-snr"]) $(id).oninput = () => { listDirty = true; };
const body = $("emissions").tBodies[0];
body.onclick = e => { const tr = e.target.closest("tr"); if (tr) openDetail(tr.dataset.id); };
body.onkeydown = e => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); openDetail(e.target.dataset.id); } };
$("detail").onclose = () => { fall.picked = null; fall.dirty = true; listDirty = true; };
fall.reset();
connect();
refresh();
loadClasses();
setInterval(refresh, 2000);
setInterval(() => { drawList(); }, 500);
(function frame() { fall.draw([...known.values()]); requestAnimationFrame(frame); })();
