// Radios: health, and what was lost for which reason. SPDX-License-Identifier: GPL-3.0-or-later
import { $, count, el, hz, mhz, seconds } from "./dom.js";

const KIND = { running: "good", ended: "", starting: "warn", stalled: "bad", failed: "bad" };
const REASON = { overflow: "overflow in the driver", gap: "gap in the times", ring_full: "this host was too slow", stall: "no samples came", corrupt: "not numbers", retune: "the tuner settled" };

function lossLine(samples) {
  const some = Object.entries(samples.lost).filter(x => x[1]);
  const sum = some.reduce((a, x) => a + x[1], 0);
  if (!sum) return el("div", `${count(samples.delivered)} samples, none lost`);
  const share = 100 * sum / Math.max(1, samples.requested);
  const line = el("div", `${count(samples.delivered)} samples, lost ${count(sum)} (${share < 0.01 ? "< 0.01" : share.toFixed(2)} %)`);
  const list = el("ul", null, "losses");
  list.append(...some.map(([k, n]) => el("li", `${k}: ${count(n)}${REASON[k] ? ", " + REASON[k] : ""}`)));
  line.append(list);
  return line;
}

// One line for each of several bands: what is visited, and since when the others wait.
function bandLine(b) {
  const since = b.since_s === undefined ? "not visited yet" : `${b.state} for ${seconds(b.since_s)}`;
  const heard = b.emissions_active === undefined ? "" : `, ${count(b.emissions_active)} on the air`;
  return el("div", `${b.name} · ${mhz(b.center_hz, 3)} MHz: ${b.error ? b.error : since + heard}`, b.error ? "trouble" : "quiet");
}

function radioItem(r, bands) {
  const li = el("li"), head = el("div", null, "radio-head");
  head.append(el("span", `${r.name} · ${r.band}`), el("span", r.state, "pill " + (KIND[r.state] ?? "warn")));
  li.append(head, el("div", r.label && r.label !== r.device ? `${r.label} (${r.device})` : r.device, "quiet device"));
  if (r.error) li.append(el("div", r.error, "trouble"));
  if (r.rate_hz) li.append(el("div", `${hz(r.rate_hz)} wide at ${mhz(r.center_hz, 3)} MHz, ${(100 * (r.busy_ratio ?? 0)).toFixed(0)} % of a core`));
  if (bands.length > 1) li.append(...bands.map(bandLine));
  li.append(lossLine(r.samples));
  const notes = [r.reconnects && `${count(r.reconnects)} reconnects`, r.sample_age_s > 2 && `last sample ${seconds(r.sample_age_s)} ago`,
    r.artefacts && `${r.artefacts} ${r.artefacts === 1 ? "artefact" : "artefacts"} of the receiver masked`].filter(Boolean);
  if (notes.length) li.append(el("div", notes.join(", "), "quiet"));
  return li;
}

export function drawRadios(list, bands) {
  $("radios").replaceChildren(...(list.length ? list.map(r => radioItem(r, bands.filter(b => b.radio === r.name))) : [el("li", "no radio is configured", "quiet")]));
}

// What stands over the waterfall while nothing moves in it; "" where all is well.
export function airState(r, b, link, quiet_ms, hasRows) {
  if (link !== "live") return link === "connecting" ? "connecting to attuned" : "disconnected: what you see is not live";
  if (!r) return "no radio is configured: “attune devices” prints the lines for those that are there";
  if (r.state === "ended") return hasRows ? "" : "the file has ended";
  if (r.state !== "running") return `radio ${r.state}${r.error ? ": " + r.error : ""}`;
  if (b.error) return b.error;
  if (b.state === "waiting")
    return `${b.name} waits: ${r.name} is at ${r.band}` + (b.since_s === undefined ? "" : `; this is as it was ${seconds(b.since_s)} ago`);
  return quiet_ms > 3000 ? "waiting for a spectrum" : "";
}
