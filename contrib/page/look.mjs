// look.mjs opens pages in a real browser and prints, as a line of JSON for each visit, what it saw. The test beside it judges.
// Visits come as a JSON list on stdin: {file, now, scheme, width, script, shot}. now is the time that the page's script sees.
//
// CHROMIUM is the browser. puppeteer-core and axe-core are in the folder NODE_MODULES.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.env.NODE_MODULES, "any"));
const puppeteer = require("puppeteer-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

// inspect runs in the page. It works where the page's own script may not run, too.
function inspect() {
  const shown = (element) => element !== null && element.checkVisibility({ visibilityProperty: true });
  const late = document.getElementById("late");
  return {
    sentence: document.querySelector("h1").textContent,
    late: shown(late) ? late.textContent : "",
    scripts: document.scripts.length,
    harmed: globalThis.harmed === true,
    wider: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    commands: [...document.querySelectorAll(".command code")].filter(shown).length,
    selects: [...document.querySelectorAll(".command code")].every((c) => getComputedStyle(c).userSelect === "all"),
    columns: [...document.querySelectorAll(".column")].map((c) => ({ name: c.querySelector("h2").firstChild.textContent.trim(), left: Math.round(c.getBoundingClientRect().left) })),
  };
}

const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM, headless: true, args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"] });
try {
  for (const visit of JSON.parse(readFileSync(0, "utf8"))) {
    const tab = await browser.newPage();
    const said = [], asked = [];
    tab.on("console", (m) => said.push(m.text()));
    tab.on("pageerror", (e) => said.push(String(e)));
    tab.on("request", (r) => asked.push(r.url()));
    await tab.setViewport({ width: visit.width, height: 900 });
    await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: visit.scheme }]);
    await tab.setJavaScriptEnabled(visit.script);
    await tab.evaluateOnNewDocument((now) => { Date.now = () => now; }, Date.parse(visit.now));
    await tab.goto(pathToFileURL(visit.file).href, { waitUntil: "load" });
    const seen = await tab.evaluate(inspect);
    if (visit.shot) await tab.screenshot({ path: visit.shot, fullPage: true });
    let findings = [];
    if (visit.script) { // the checker is a script
      await tab.evaluate(axe);
      const result = await tab.evaluate((tags) => globalThis.axe.run(document, { resultTypes: ["violations"], runOnly: tags }), rules);
      findings = result.violations.map((v) => v.id + ": " + v.nodes.slice(0, 3).map((n) => n.html).join(" "));
    }
    console.log(JSON.stringify({ ...seen, findings, said, asked: asked.slice(1) }));
    await tab.close();
  }
} finally {
  await browser.close();
}
