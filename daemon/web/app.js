// The dashboard: follows the events, asks for the rest now and then, and hands each to the part that draws it.
// SPDX-License-Identifier: GPL-3.0-or-later
import { $, ask, count, hz, inTurn, mhz, option, pill, seconds } from "./dom.js";
import { drawBudget, drawSelector } from "./backend.js";
import { kindLegend, paintScale } from "./colours.js";
import { Details } from "./details.js";
import { Emissions, fillSelect } from "./emissions.js";
import { History } from "./history.js";
import { airState, drawRadios } from "./radios.js";
import { Stream } from "./stream.js";
import { Waterfall } from "./waterfall.js";

let radios = null, bands = [], link = "connecting", lastRow = 0, paused = false, boot = null, nClasses = 0, held = null;
let missed = null;   // id -> emission, of what came while the list of them was asked for

const details = new Details(() => choose(null));
const emissions = new Emissions(id => openDetail(emissions.known.get(id)));
const fall = new Waterfall(id => openDetail(emissions.known.get(id)));
const past = new History(() => emissions.filter(), openDetail);

function choose(id) {
  fall.picked = emissions.picked = id;
  fall.dirty = emissions.dirty = true;
}

function openDetail(e) {
  if (!e) return;
  choose(e.id);
  details.open(e);
}

function take(e) {
  emissions.take(e);
  missed?.set(e.id, e);
  fall.dirty = true;
  if (details.id === e.id) details.show(e);
}

// ---- panels ----

function drawStatus(s) {
  if (boot && s.boot !== boot) {
    loadEmissions();
    startFall();
  }
  boot = s.boot;
  $("site").textContent = s.site ?? "";
  document.title = s.site ? `${s.site} · attune` : "attune";
  $("n-active").textContent = count(s.emissions.active);
  $("n-seen").textContent = count(s.emissions.seen);
  $("n-decisions").textContent = count(s.decisions.count);
  $("uptime").textContent = seconds(s.uptime_s);
  $("ready").title = s.ready ? "" : s.not_ready_reason;
  const moves = s.radios.running ? "samples moving" : "all files have ended";
  pill($("ready"), s.ready ? moves : s.not_ready_reason, s.ready ? "good" : "bad");
  drawBudget(s);
}

// A band's option is "radio/band"; neither name can hold a slash.
const keyOf = b => `${b.radio}/${b.name ?? b.band}`;
const chosen = () => bands.find(b => keyOf(b) === $("band").value);

function takeRadios(list, listed) {
  radios = list;
  bands = listed;
  drawRadios(list, bands);
  fillSelect($("f-band"), [...new Set(bands.map(b => b.name))]);
  const select = $("band"), names = bands.map(keyOf).join();
  if (select.dataset.names === names) return;
  select.dataset.names = names;
  const keep = select.value;
  select.replaceChildren(...bands.map(b => option(keyOf(b), `${b.name} (${b.radio})`)));
  if (bands.some(b => keyOf(b) === keep)) select.value = keep;
  startFall();
}

function drawAirState() {
  const b = chosen(), r = b && radios?.find(x => x.name === b.radio), waits = b?.state === "waiting";
  const text = link === "live" && !radios ? "waiting for attuned" : airState(r, b, link, paused ? 0 : Date.now() - lastRow, fall.newest);
  if ($("air-state").textContent !== text) $("air-state").textContent = text;
  $("air-state").hidden = !text;
  $("plot").classList.toggle("stale", link !== "live" || waits || Boolean(r && r.state !== "running" && r.state !== "ended"));
}

const refresh = inTurn(async () => {
  if (link === "disconnected") return;
  try {
    const [status, list, listed] = await Promise.all([ask("api/v1/status"), ask("api/v1/radios"), ask("api/v1/bands")]);
    drawStatus(status);
    takeRadios(list.items, listed.items);
    if (nClasses === 0) await loadClasses();
    drawSelector(await ask("api/v1/selector"));
  } catch (e) {
    if (!(e instanceof TypeError || e instanceof DOMException)) $("why").textContent = e.message;   // no answer at all: the stream says so
  }
});

async function loadClasses() {
  const m = await ask("api/v1/model");
  nClasses = m.classes.length;
  fillSelect($("f-class"), [...m.classes, "unknown", "weak"]);
}

// ---- events ----

function onRow(row) {
  if (keyOf(row) !== $("band").value || paused) return;
  lastRow = Date.now();
  if (held) {
    held.push(row);
    if (held.length > fall.height) held.shift();
    return;
  }
  fall.add(row);
}

function drawTuned() {
  const row = fall.newest;
  if (!row || fall.low === null) return;
  $("s-low").parentElement.hidden = false;
  $("s-low").textContent = `${fall.low.toFixed(0)}`;
  $("s-high").textContent = `${(fall.low + fall.range).toFixed(0)} dBFS`;
  $("tuned").textContent = `${mhz(row.center_hz, 3)} MHz, ${hz(row.rate_hz)} wide`;
  $("floor").textContent = row.floor_dbfs_hz === undefined ? "" : `floor ${row.floor_dbfs_hz.toFixed(0)} dBFS/Hz, ${(100 * (row.occupancy_ratio ?? 0)).toFixed(0)} % occupied`;
}

// Shows what the daemon remembers, then what came while it answered.
async function startFall() {
  const b = chosen();
  const mine = held = [];
  fall.reset();
  let items = [];
  try {
    const body = !b ? { items } : await ask(`api/v1/waterfall?limit=${fall.height}&radio=${encodeURIComponent(b.radio)}&band=${encodeURIComponent(b.name)}`);
    items = body.items;
  } catch { /* none yet: the events bring them */ }
  if (held !== mine) return;      // another band was chosen meanwhile
  held = null;
  const last = items.length ? items[items.length - 1].seq : 0;
  [...items, ...mine.filter(row => row.seq > last)].forEach(onRow);
}

// The list as the daemon has it, then what came while it answered: what ended meanwhile is not alive again.
async function loadEmissions() {
  const mine = missed = new Map();
  let items = null;
  try { items = (await ask("api/v1/emissions?limit=200")).items; } catch { /* what is shown stays */ }
  if (missed !== mine) return;    // asked for again meanwhile
  missed = null;
  if (!items) return;
  emissions.clear();
  [...items, ...mine.values()].forEach(take);
}

function onEvent(type, object) {
  if (type === "spectrum") onRow(object);
  else if (type === "emission" || type === "decision") take(object);
  else refresh();
}

function onState(state, wait_s) {
  const was = link;
  link = state;
  if (state === "live") pill($("link"), "live", "good");
  else if (state === "connecting") pill($("link"), boot ? "reconnecting" : "connecting", "warn");
  else pill($("link"), `disconnected, next try in ${wait_s} s`, "bad");
  document.body.classList.toggle("offline", state === "disconnected");
  if (state === "disconnected" && was !== state) $("ready").hidden = true;
  if (state === "live") {
    refresh();
    loadEmissions();
    past.load();
  }
  drawAirState();
}

// ---- start ----

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  try { localStorage.setItem("theme", name); } catch { /* private window */ }
}

function startControls() {
  try { const kept = localStorage.getItem("theme"); if (kept) setTheme(kept); } catch { /* private window */ }
  $("theme").onclick = () => {
    const now = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    setTheme(now === "dark" ? "light" : "dark");
  };
  $("pause").onclick = () => {
    paused = !paused;
    $("pause").setAttribute("aria-pressed", paused);
  };
  $("boxes").onchange = () => { fall.boxes = $("boxes").checked; fall.dirty = true; };
  $("band").onchange = startFall;
  for (const id of ["f-state", "f-class", "f-band", "f-snr"]) $(id).addEventListener("change", () => past.load());
}

startControls();
$("kinds").replaceChildren(...kindLegend());
paintScale($("scale"));
fall.reset();
new Stream("api/v1/events?types=emission,decision,selector,radio,spectrum", onEvent, onState);
setInterval(refresh, 2000);
setInterval(() => { emissions.draw(); drawTuned(); drawAirState(); }, 500);
setInterval(() => { emissions.dirty = true; if (past.end === null && !past.turn && link === "live") past.load(); }, 10000);
(function frame() {
  fall.draw(emissions.known);
  requestAnimationFrame(frame);
})();
