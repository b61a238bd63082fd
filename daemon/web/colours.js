// Colours: of levels, and of classes. A class is never told by its colour alone: its mark and its name go with it.
// SPDX-License-Identifier: GPL-3.0-or-later
import { el } from "./dom.js";

// Viridis by a few of its points, darker below and lighter above: one hue order for everybody, and in print.
export const LEVELS = (() => {
  const p = [[13, 8, 35], [38, 20, 80], [59, 58, 130], [49, 104, 142], [33, 145, 140], [53, 183, 121], [144, 215, 67], [253, 231, 37], [255, 252, 220]];
  const out = new Uint32Array(256), bytes = new Uint8Array(out.buffer);
  for (let i = 0; i < 256; i++) {
    const x = i / 255 * (p.length - 1), k = Math.min(Math.floor(x), p.length - 2), f = x - k;
    for (let c = 0; c < 3; c++) bytes[4 * i + c] = Math.round(p[k][c] + f * (p[k + 1][c] - p[k][c]));
    bytes[4 * i + 3] = 255;
  }
  return out;
})();

// Okabe and Ito's colours by kind of signal, each with a mark of its own.
const KIND = { fsk2: 0, gfsk: 0, fsk4: 0, afsk: 1, nfm: 1, wfm: 1, am: 2, ssb: 2, carrier: 3, cw: 4, ook: 4, ppm: 4, psk_qam: 5, ofdm: 5, css: 6, chirp: 6 };
const COLOURS = ["#56b4e9", "#e69f00", "#f0e442", "#ffffff", "#ff9ecf", "#2fd3a2", "#ff7a45", "#aab4bd"];
const MARKS = ["■", "●", "▲", "│", "▬", "◆", "╱", "?"];
const KIND_NAMES = ["FSK data", "FM", "AM, SSB", "carrier", "on/off keyed", "PSK, OFDM", "sweep", "not known"];

const WHAT = {
  carrier: "an unmodulated line", cw: "Morse, slow keying of a carrier", ook: "on/off keyed data: remotes, sensors, key fobs",
  am: "AM voice or broadcast", ssb: "single-sideband voice", nfm: "FM voice", wfm: "FM broadcast",
  fsk2: "two-level FSK: pagers, sensors", gfsk: "shaped two-level FSK: AIS, Bluetooth, DECT", fsk4: "four-level FSK: DMR, P25, NXDN",
  afsk: "audio FSK: APRS, ACARS", psk_qam: "single-carrier digital: TETRA, VDL2, satellites", ofdm: "many carriers: DAB, DVB-T, LTE, Wi-Fi",
  css: "chirp spread spectrum: LoRa", ppm: "pulse position: aircraft's Mode S", chirp: "linear sweep: radar, sounders",
  noise: "nothing there", unknown: "none of the classes it knows", weak: "too weak or too short to say",
};

export const classColour = name => COLOURS[KIND[name] ?? 7];
export const classWhat = name => WHAT[name] ?? "";
export const classMark = name => MARKS[KIND[name] ?? 7];

export function classChip(name) {
  const chip = el("span", classMark(name), "chip");
  chip.style.background = classColour(name);
  chip.setAttribute("aria-hidden", "true");
  return chip;
}

// What the marks and colours mean.
export function kindLegend() {
  return KIND_NAMES.map((name, k) => {
    const item = el("span", null, "key"), mark = el("span", MARKS[k], "chip");
    mark.style.background = COLOURS[k];
    item.append(mark, name);
    return item;
  });
}

// The scale of levels as a picture for the foot of the waterfall.
export function paintScale(canvas) {
  canvas.width = 256;
  canvas.height = 1;
  const g = canvas.getContext("2d"), image = g.createImageData(256, 1);
  new Uint32Array(image.data.buffer).set(LEVELS);
  g.putImageData(image, 0, 0);
}
