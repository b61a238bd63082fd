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

export const classColour = name => COLOURS[KIND[name] ?? 7];
export const classMark = name => MARKS[KIND[name] ?? 7];

export function classChip(name) {
  const chip = el("span", classMark(name), "chip");
  chip.style.background = classColour(name);
  chip.setAttribute("aria-hidden", "true");
  return chip;
}
