// What the checks and the pictures share: a daemon with the simulated receiver, and the system's Chromium.
// SPDX-License-Identifier: GPL-3.0-or-later
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";

export const LIMIT_MS = 120000;   // a loaded machine is slow, not wrong
const top = process.env.ATTUNE_TOP;   // run.sh sets it: this file runs from beside the build

function freePort() {
  return new Promise((done, fail) => {
    const s = createServer();
    s.on("error", fail);
    s.listen(0, "127.0.0.1", () => { const { port } = s.address(); s.close(() => done(port)); });
  });
}

export async function until(what, good, limit_ms = LIMIT_MS) {
  for (const end = Date.now() + limit_ms; ; ) {
    const got = await good();
    if (got) return got;
    if (Date.now() > end) throw new Error(`${what}: not within ${limit_ms / 1000} s`);
    await new Promise(r => setTimeout(r, 200));
  }
}

export class Daemon {
  constructor(build) {
    this.build = resolve(build);
    this.folder = mkdtempSync(join(tmpdir(), "attune-dashboard-"));
  }

  // site: shown in the page's head. radios: lines of YAML; the demo scene where not given, as short as in conf/demo.yaml.
  // tokens: by the key of the file that holds each; then it listens off loopback, where every request must bring one.
  async configure(site, radios, tokens) {
    this.port ??= await freePort();
    this.url = `http://127.0.0.1:${this.port}/`;
    radios ??= `radios:
  - {name: simulated, device: "driver=attunesim,scene=demo,duration=2", bands: [{name: demo, center: 433.92M, rate: 2.4M}]}`;
    const files = Object.entries(tokens ?? {}).map(([key, token]) => {
      writeFileSync(join(this.folder, key), token + "\n", { mode: 0o600 });
      return `, ${key}: ${join(this.folder, key)}`;
    });
    writeFileSync(join(this.folder, "attuned.yaml"), `site: {name: ${JSON.stringify(site)}}
soapy: {modules: [${this.build}/soapy-sim]}
model: {path: ${top}/models/attune-base.safetensors}
bandplan: ${top}/conf/bandplan.yaml
cache_dir: ${this.folder}/cache
history: {path: ${this.folder}/history.db}
http: {listen: "${tokens ? "0.0.0.0" : "127.0.0.1"}:${this.port}"${files.join("")}}
${radios}
`);
  }

  async start() {
    let said = "";
    this.child = spawn(join(this.build, "daemon/attuned"), ["-c", join(this.folder, "attuned.yaml")], { stdio: ["ignore", "ignore", "pipe"] });
    this.child.stderr.on("data", d => { said = (said + d).slice(-4000); });
    await until("attuned answers", async () => {
      if (this.child.exitCode !== null) throw new Error("attuned ended: " + said);
      return fetch(this.url + "healthz").then(r => r.status, () => 0);
    });
  }

  async stop() {
    if (!this.child || this.child.exitCode !== null) return;
    const ended = new Promise(done => this.child.once("exit", done));
    this.child.kill("SIGTERM");
    await ended;
    this.child = null;
  }

  async finish() {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"] });
}

// A page whose troubles (exceptions, refused resources) are collected in page.troubles.
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 1000 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT_MS);
  page.troubles = [];
  page.on("pageerror", e => page.troubles.push(String(e)));
  page.on("console", m => { if (m.type() === "error" && !/ERR_|Failed to load resource/.test(m.text())) page.troubles.push(m.text()); });
  page.on("request", r => { if (!r.url().startsWith(url) && !r.url().startsWith("data:")) page.troubles.push("asked another host: " + r.url()); });
  await page.goto(url);
  return page;
}

export const text = (page, id) => page.locator("#" + id).textContent();

// Rows that are painted in the waterfall, and how many colours they have.
export function painted(page) {
  return page.evaluate(() => {
    const c = document.getElementById("rows"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data, colours = new Set();
    let rows = 0;
    for (let y = 0; y < c.height; y++) {
      if (d[4 * y * c.width + 3]) rows++;
      for (let x = 0; x < c.width; x++) { const i = 4 * (y * c.width + x); if (d[i + 3]) colours.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]); }
    }
    return { rows, colours: colours.size };
  });
}

export const listed = page => page.locator("#emissions tbody tr").count();
export const tooWide = page => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
