// The pictures of README and docs, from a real attuned on the simulated receiver. Usage: node pictures.mjs BUILD FOLDER
// SPDX-License-Identifier: GPL-3.0-or-later
import { join } from "node:path";
import { Daemon, launch, listed, open, painted, until } from "./page.mjs";

const PATIENCE_MS = 600000;   // rows come at the machine's pace
const PICTURES = [
  ["dashboard.png", { viewport: { width: 1440, height: 1000 } }],
  ["dashboard-dark.png", { viewport: { width: 1440, height: 1000 }, colorScheme: "dark" }, true],
  ["dashboard-phone.png", { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }],
];
const [build = "build", folder = "docs"] = process.argv.slice(2);
const d = new Daemon(build), browser = await launch();
try {
  await d.configure("demo");
  await d.start();
  await new Promise(r => setTimeout(r, 40000));   // the costs at the start are forgotten
  for (const [name, options, details] of PICTURES) {
    const page = await open(browser, d.url, options);
    await until("a full waterfall", async () => (await painted(page)).rows >= 200 && await listed(page) > 3, PATIENCE_MS);
    if (details) {
      await page.locator("#emissions tbody tr").nth(2).click();
      await page.waitForTimeout(500);
    }
    await page.screenshot({ path: join(folder, name) });
    await page.context().close();
    console.log(join(folder, name));
  }
} finally {
  await browser.close();
  await d.finish();
}
