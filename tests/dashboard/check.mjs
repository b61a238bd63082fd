// The dashboard of a real attuned on the simulated receiver, in Chromium. Usage: node check.mjs BUILD
// SPDX-License-Identifier: GPL-3.0-or-later
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon, launch, listed, open, painted, text, tooWide, until } from "./page.mjs";

const MARKUP = "<img src=x onerror=document.title='owned'><script>1</script>";
let passed = 0, failed = 0;

function check(what, ok, got) {
  if (ok) passed++;
  else { failed++; console.log(`FAIL ${what}: got ${JSON.stringify(got)}`); }
}

// The main thread's CPU time and the layouts, a second, from Chromium's own counters.
async function load(page) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Performance.enable", { timeDomain: "threadTicks" });
  const read = async () => Object.fromEntries((await cdp.send("Performance.getMetrics")).metrics.map(m => [m.name, m.value]));
  const a = await read(), t = Date.now();
  await page.waitForTimeout(5000);
  const b = await read(), s = (Date.now() - t) / 1000, of = k => (b[k] - a[k]) / s;
  return { task: of("TaskDuration"), script: of("ScriptDuration"), layouts: of("LayoutCount"), seconds: s };
}

// The same with rows of 1024 bins at 30 a second, drawn by the page's own module: this receiver brings 10.
async function fast(page) {
  await page.locator("#pause").click();
  await page.evaluate(async () => {
    const { Waterfall } = await import(new URL("web/waterfall.js", location.href));
    const fall = new Waterfall(() => {});
    fall.reset();
    const draw = () => { fall.draw(new Map()); window.fastFrame = requestAnimationFrame(draw); };
    window.fastTimer = setInterval(() => fall.add({ radio: "x", time: new Date().toISOString(), center_hz: 433920000, rate_hz: 2400000,
      dbfs: Array.from({ length: 1024 }, () => -78 + 3 * Math.random()) }), 1000 / 30);
    draw();
  });
  const cost = await load(page);
  await page.evaluate(() => { clearInterval(window.fastTimer); cancelAnimationFrame(window.fastFrame); });
  await page.locator("#pause").click();
  return cost;
}

async function live(browser, d) {
  const page = await open(browser, d.url);
  await until("the link is live", async () => await text(page, "link") === "live");
  const look = await until("rows are painted", async () => { const p = await painted(page); return p.rows > 20 && p.colours > 20 && p; });
  const before = await page.evaluate(() => document.getElementById("rows").toDataURL().slice(-4000));
  check("the waterfall moves", await until("it moves", async () => before !== await page.evaluate(() => document.getElementById("rows").toDataURL().slice(-4000))), look);
  await until("emissions are listed", async () => await listed(page) > 0);
  check("the markup in the site's name is text", (await text(page, "site")) === MARKUP && await page.locator("#site *").count() === 0 &&
    await page.title() !== "owned", await page.locator("#site").innerHTML());
  check("backend named", (await text(page, "backend")).length > 1, await text(page, "backend"));
  check("candidates with their reasons", await page.locator("#candidates tbody tr").evaluateAll(rows => rows.length >= 4 &&
    rows.every(r => !r.textContent.includes("✕") || r.nextElementSibling?.className === "why")), null);
  check("budget lines", await page.locator("#meters .meter > b").count() === 4, null);
  check("a radio runs", (await text(page, "radios")).includes("running"), await text(page, "radios"));
  check("no wider than the window", await tooWide(page) <= 0, await tooWide(page));
  return page;
}

async function clicks(page) {
  await page.locator("#emissions tbody tr").first().click();
  check("a click opens the details", await page.locator("#detail").isVisible(), null);
  await until("probabilities as bars", async () => await page.locator("#d-probs .meter").count() > 0);
  const facts = await text(page, "d-facts");
  check("details say what was asked", ["SNR", "Bandwidth", "Backend", "Latency"].every(w => facts.includes(w)), facts);
  await page.keyboard.press("Escape");
  check("Escape closes them", !await page.locator("#detail").isVisible(), null);
  await page.locator("#overlay").hover({ position: { x: 300, y: 40 } });
  const hit = await until("a box is clicked", async () => {
    const box = await page.locator("#overlay").boundingBox();
    for (let x = 8; x < box.width && !await page.locator("#detail").isVisible(); x += 24) await page.locator("#overlay").click({ position: { x, y: 60 } });
    return page.locator("#detail").isVisible();
  });
  check("a click on a box opens the details", hit, hit);
  await page.keyboard.press("Escape");
}

async function keyboard(page) {
  await page.locator("#emissions tbody tr[tabindex='0']").focus();
  const first = await page.evaluate(() => document.activeElement.dataset.id);
  await page.keyboard.press("End");
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowDown");
  const at = await page.evaluate(() => [...document.querySelectorAll("#emissions tbody tr")].indexOf(document.activeElement));
  check("arrows move in the list", at === Math.min(1, await listed(page) - 1), { at, first });
  const ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  check("the focus can be seen", ring === "solid", ring);
  await page.keyboard.press("Enter");
  check("Enter opens", await page.locator("#detail").isVisible(), null);
  await page.keyboard.press("Escape");
  await page.locator("#timeline").focus();
  await page.keyboard.press("-");
  const pressed = async () => await page.locator("#spans button", { hasText: "1 h" }).getAttribute("aria-pressed") === "true";
  check("minus zooms the history out", await until("an hour", pressed), null);
}

async function filters(page) {
  await page.locator("#f-snr").fill("500");
  await until("nothing is that strong", async () => await listed(page) === 0);
  check("it says so", (await text(page, "none")).includes("filters"), await text(page, "none"));
  await page.locator("#f-snr").fill("");
  await until("all are back", async () => await listed(page) > 0);
  const name = (await page.locator("#emissions tbody tr td:nth-child(4)").allTextContents()).map(t => t.match(/[a-z_0-9]+/)?.[0]).find(t => t && t !== "deciding");
  await page.locator("#f-class").selectOption(name);
  const left = async () => (await page.locator("#emissions tbody tr td:nth-child(4)").allTextContents()).every(t => t.includes(name));
  check("the class filter filters", await until("only those of the class", left), name);
  await page.locator("#f-class").selectOption("");
  await page.locator("#f-band").selectOption("demo");
  await until("the band has some", async () => await listed(page) > 0);
}

async function past(page) {
  const note = await until("history is drawn", async () => { const t = await text(page, "h-note"); return /\d+ emissions|newest/.test(t) && t; });
  const ink = await page.evaluate(() => { const c = document.getElementById("timeline"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; });
  check("the timeline is drawn", ink > 200, { note, ink });
}

async function restart(page, d) {
  await d.stop();
  check("disconnected is said", await until("disconnected", async () => (await text(page, "link")).startsWith("disconnected")), await text(page, "link"));
  check("over the waterfall too", (await text(page, "air-state")).includes("not live"), await text(page, "air-state"));
  await d.start();
  await until("live again", async () => await text(page, "link") === "live");
  await until("rows again", async () => (await painted(page)).rows > 5 && await page.locator("#air-state").isHidden());
  check("nothing was thrown or refused", page.troubles.length === 0, page.troubles);
}

const sleep = ms => new Promise(r => setTimeout(r, ms));
const bootOf = d => fetch(d.url + "api/v1/status").then(r => r.json()).then(s => s.boot, () => null);
const rowsOf = (page, css) => page.locator(`#emissions tbody tr${css}`).evaluateAll(rows => rows.map(r => r.dataset.id));

// Answers that come late: what ended meanwhile is not alive again, questions do not pile up, nothing is said that is not
// known yet, and after a restart the list is whole, whichever answer comes first.
async function slow(browser, d) {
  const context = await browser.newContext(), page = await context.newPage();
  const bodyOf = path => fetch(d.url + "api/v1/" + path).then(r => r.json());
  const brief = e => e.state === "active" && Date.now() - Date.parse(e.start) < 1500;   // of the scene's bursts, which end within 2 s
  let asks = 0, most = 0, answers = 0, late = true;
  await page.route(/api\/v1\/emissions\?limit=200/, async route => {
    const fresh = async () => { const { items } = await bodyOf("emissions?limit=200"); return items.some(brief) && { items, next: null }; };
    const json = await until("slow: a burst is alive", fresh);
    if (late) await sleep(8000);
    await route.fulfill({ json });
    answers++;
  });
  await page.route(/api\/v1\/status/, async route => {
    most = Math.max(most, ++asks);
    const response = await route.fetch();
    await sleep(6000);
    asks--;
    await route.fulfill({ response });
  });
  await page.goto(d.url);
  await until("slow: the link is live", async () => await text(page, "link") === "live");
  await page.waitForTimeout(1000);
  check("slow: nothing is said of radios before it is known", !(await text(page, "air-state")).includes("no radio"), await text(page, "air-state"));
  await until("slow: the list has come", () => answers > 0);
  await page.waitForTimeout(1500);    // and is drawn
  const ended = await until("slow: some have ended", async () => { const ids = await rowsOf(page, ".ended"); return ids.length > 1 && ids; });
  const alive = await rowsOf(page, ":not(.ended)");
  await page.waitForTimeout(2000);
  const still = (await rowsOf(page, ":not(.ended)")).filter(id => alive.includes(id)), wrong = [];
  for (const id of still) if ((await bodyOf("emissions/" + id)).state === "ended") wrong.push(id);
  await page.waitForTimeout(3000);
  const stuck = (await rowsOf(page, ":not(.ended)")).filter(id => wrong.includes(id));
  check("slow: what has ended is not alive", stuck.length === 0, { stuck, alive });
  check("slow: one question at a time", most === 1, most);
  late = false;
  const boot = await bootOf(d);
  await d.stop();
  await d.start();
  await until("slow: live again", async () => await text(page, "link") === "live" && await bootOf(d) !== boot);
  await page.waitForTimeout(15000);   // two answers of its status
  const kept = await rowsOf(page, ".ended");
  check("slow: the list after a restart has what was before", ended.every(id => kept.includes(id)), { ended, kept });
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await context.close();
}

async function variants(browser, d) {
  const phone = await open(browser, d.url, { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true });
  await until("phone: rows", async () => (await painted(phone)).rows > 5);
  await until("phone: list", async () => await listed(phone) > 0);
  check("phone: no wider than the window", await tooWide(phone) <= 0, await tooWide(phone));
  await phone.locator("#emissions tbody tr").first().tap();
  check("phone: a tap opens the details", await phone.locator("#detail").isVisible(), null);
  check("phone: nothing was thrown", phone.troubles.length === 0, phone.troubles);
  const dark = await open(browser, d.url, { colorScheme: "dark" });
  const ground = () => dark.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const a = await ground();
  await dark.locator("#theme").click();
  const b = await ground();
  await dark.reload();
  check("dark by the system, light by the switch, kept", a === "rgb(14, 20, 25)" && b !== a && await ground() === b, [a, b]);
}

async function trouble(browser, d) {
  await d.stop();
  await d.configure("bare", "radios: []");
  await d.start();
  let page = await open(browser, d.url);
  check("no radio is said", await until("no radio", async () => (await text(page, "air-state")).includes("no radio")), await text(page, "air-state"));
  await d.stop();
  await d.configure("quiet", `radios:
  - {name: quiet, device: "driver=attunesim,scene=tone,script=timeout@400000:0", bands: [{name: quiet, center: 433.92M, rate: 1M}]}`);
  await d.start();
  page = await open(browser, d.url);
  check("stalled is said", await until("stalled", async () => (await text(page, "air-state")).includes("stalled")), await text(page, "air-state"));
}

// A radio with two bands: each has its rows and its own list, and the one that waits says so.
async function walks(browser, d) {
  await d.stop();
  await d.configure("walk", `radios:
  - name: walk
    device: "driver=attunesim,scene=carrier@433.92e6;carrier@868.3e6"
    bands: [{name: low, center: 433.92M, rate: 1M, dwell: 3s}, {name: high, center: 868.3M, rate: 1M, dwell: 3s}]`);
  await d.start();
  const page = await open(browser, d.url);
  await until("both bands are offered", async () => await page.locator("#band option").count() === 2);
  await page.locator("#band").selectOption("walk/high");
  await until("the other band's rows", async () => (await text(page, "tuned")).includes("868.3") && (await painted(page)).rows > 20);
  await until("a band that waits says so", async () => /high waits: walk is at low; this is as it was .+ ago/.test(await text(page, "air-state")));
  check("its rows stay", (await painted(page)).rows > 20, await painted(page));
  await until("the radio's bands are listed", async () => /low · 433.920 MHz: visited for .*high · 868.300 MHz: waiting for/.test(await text(page, "radios")));
  await until("and the note goes with the next visit", async () => await page.locator("#air-state").isHidden());
  const before = await page.evaluate(() => document.getElementById("rows").toDataURL().slice(-4000));
  await until("rows come again", async () => before !== await page.evaluate(() => document.getElementById("rows").toDataURL().slice(-4000)));
  const alive = async mhz => (await page.locator("#emissions tbody tr").allInnerTexts()).some(t => t.includes(mhz) && t.includes("alive"));
  await until("both emissions are listed, alive", async () => await alive("434.045") && await alive("868.425"));
  if (process.env.PICTURE) await page.screenshot({ path: process.env.PICTURE });
  check("nothing was thrown", page.troubles.length === 0, page.troubles);
}

// Names as long as the configuration takes, and a file that has ended, on a small phone and on a desk.
async function names(browser, d) {
  const long = "N".repeat(31);
  await d.stop();
  const file = join(d.folder, "x_433.92M_250k.cu8");
  writeFileSync(file, Buffer.alloc(500000, 127));
  await d.configure("S".repeat(63), `radios:
  - {name: ${long}, device: "file=${file}", pace: fast, bands: [{name: ${"B".repeat(31)}}]}`);
  await d.start();
  for (const width of [360, 1440]) {
    const page = await open(browser, d.url, { viewport: { width, height: 780 } });
    await until("the radio is listed", async () => (await text(page, "radios")).includes(long));
    check(`long names: ${width} wide is enough`, await tooWide(page) <= 0, await tooWide(page));
    const cut = await page.evaluate(() => [...document.querySelectorAll("section select, section .pill")]
      .filter(e => e.getBoundingClientRect().right > e.closest("section").getBoundingClientRect().right).map(e => e.id || e.textContent));
    check(`long names: nothing is cut off at ${width}`, cut.length === 0, cut);
    check("a file's end is said", await until("ended", async () => await text(page, "ready") === "all files have ended"), await text(page, "ready"));
  }
}

// Off loopback the browser asks for a password, which is a token of either role: with it all is there, events too, and
// nothing can be changed; without it nothing is.
async function login(browser, d) {
  for (const c of browser.contexts()) await c.close();   // pages of the parts before would go on asking
  await d.stop();
  const tokens = { token_file: "f".repeat(32), read_token_file: "r".repeat(32) };
  await d.configure("roof", undefined, tokens);
  await d.start();
  const as = password => ({ httpCredentials: { username: "anyone", password } });
  for (const [who, options] of [["nobody", {}], ["another token", as("w".repeat(32))]]) {
    const context = await browser.newContext(options), page = await context.newPage();
    const got = await page.goto(d.url).then(r => r.status(), e => e.message);
    check(`login: ${who} is refused`, got === 401 || /ERR_INVALID_AUTH_CREDENTIALS/.test(got), got);
    await context.close();
  }
  for (const [role, token] of Object.entries(tokens)) {
    const page = await open(browser, d.url, as(token));
    await until(`login, ${role}: the link is live`, async () => await text(page, "link") === "live");
    await until(`login, ${role}: rows come`, async () => (await painted(page)).rows > 20);
    await until(`login, ${role}: emissions are listed`, async () => await listed(page) > 0);
    const status = await page.evaluate(() => fetch("api/v1/budget", { method: "PATCH", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ latency_ms: 20 }) }).then(r => r.status));
    check(`login, ${role}: a password changes nothing`, status === 403, status);
    check(`login, ${role}: nothing was thrown`, page.troubles.length === 0, page.troubles);
    await page.context().close();
  }
}

const d = new Daemon(process.argv[2] ?? "build"), browser = await launch();
try {
  await d.configure(MARKUP);
  await d.start();
  const page = await live(browser, d);
  for (const part of [clicks, keyboard, filters, past]) await part(page);
  for (const [what, cost] of [["as it comes", await load(page)], ["30 rows/s", await fast(page)]])
    console.log(`${what}: main thread ${(100 * cost.task).toFixed(1)} % of a core, script ${(100 * cost.script).toFixed(1)} %, ${cost.layouts.toFixed(1)} layouts/s`);
  await restart(page, d);
  await slow(browser, d);
  await variants(browser, d);
  await walks(browser, d);
  await names(browser, d);
  await login(browser, d);
  await trouble(browser, d);
} catch (e) {
  check(e.message, false, e.stack);
} finally {
  await browser.close();
  await d.finish();
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
