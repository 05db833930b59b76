// An admin's day with the pages, in a browser: from the draft to the rollback, with and without scripts.
// `.ci/page` starts the services and sets the variables.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Visitor, launch } from "./browser.js";

const { PAGE_ADDRESS: address, PLAIN_ADDRESS: plain, ADMIN_TOKEN: token, SHOTS: shots } = process.env;
const POLICY = "/policies/router-core";

let browser;
let ada;
/// A version that was active, to which a rollback is possible.
let archived;

before(async () => {
  browser = await launch();
  ada = await Visitor.open(browser, address, token);
});

after(async () => {
  await browser?.close();
});

/// Waits until the tuner has drafted a version.
const draft = async (visitor) => {
  for (let attempt = 0; attempt < 60; attempt += 1) {
    await visitor.go(POLICY);
    const found = /Draft: (\d+\.\d+\.\d+)/.exec(await visitor.text());
    if (found) return found[1];
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error(`no draft within 30 seconds:\n${await visitor.text()}`);
};

/// Opens a change of a flag from the overview, and confirms it.
const turn = async (visitor, flag, to) => {
  await visitor.go(`/flags?flag=${flag}&to=${to}`);
  await visitor.page.fill("#reason", "a test");
  await visitor.submit("Turn");
};

const latest = async (visitor) => {
  await visitor.go("/audit");
  return visitor.page.locator("tbody tr").first().innerText();
};

test("a wrong token and a form without its session's secret are refused", async () => {
  const context = await browser.newContext();
  const headers = { origin: address };
  const form = { token: "wrong", name: "" };
  const refused = await context.request.post(`${address}/login`, { form, headers });
  assert.equal(refused.status(), 401);
  const change = { flag: "learning.enabled", to: "false" };
  const forged = await ada.context.request.post(`${address}/flags`, { form: change, headers });
  assert.equal(forged.status(), 403);
  await context.close();
});

test("the kill switch stops and starts tuning", async () => {
  await draft(ada);
  await turn(ada, "learning.enabled", "false");
  await ada.shows("Done.", "learning.enabled is off");
  await ada.go("/");
  await ada.submit("Turn on");
  await ada.submit("Turn on");
  await ada.shows("learning.enabled is on");
  assert.match(await latest(ada), /flags/);
  // The tuner renews its draft while it is shown: off again, so that the draft stays as it is.
  await turn(ada, "learning.enabled", "false");
});

test("an A/B test is started from a draft and stopped", async () => {
  const version = await draft(ada);
  await ada.submit(`Test ${version}`);
  await ada.shows("Expected duration", "observations an hour");
  await ada.submit("Estimate");
  await ada.submit("Start the test");
  await ada.shows("Done.", "A/B test");
  await ada.submit("Stop");
  await ada.submit("Stop it");
  assert.match(await latest(ada), /experimentEnd/);
});

test("a draft is compared, activated, shown in the history, and rolled back", async () => {
  const version = await draft(ada);
  await ada.shows("Expected gain", "Weight in 1.0.0");
  await ada.submit(`Activate ${version}`);
  await ada.shows("modelWeights.gpt-5", "is watched");
  await ada.page.fill("#reason", "it is better");
  await ada.submit(`Activate ${version}`);
  await ada.shows("Done.", `Active: ${version}`, "Weights over time", "Promised");
  assert.match(await latest(ada), /activate[\s\S]*it is better/);
  await ada.go(POLICY);
  await ada.submit("Roll back to 1.0.0");
  await ada.page.fill("#reason", "too soon");
  await ada.submit("Roll back to 1.0.0");
  await ada.shows("Done.", "Active: 1.0.0");
  assert.match(await latest(ada), /rollback[\s\S]*too soon/);
  archived = version;
});

const written = async (visitor) => {
  const values = await visitor.page.locator("form.weights input[type=number]").evaluateAll((all) => all.map((it) => Number(it.value)));
  return values.map((it) => Math.round(it * 1000));
};

test("a slider that moves rescales the other weights, so that they add up to 1", async () => {
  await ada.go(`${POLICY}/override`);
  const sliders = ada.page.locator("input[type=range]");
  const [sum, button] = [ada.page.locator("[data-sum]"), ada.page.locator("button.primary")];
  assert.equal(await sliders.count(), 3);
  assert.match(await sliders.first().getAttribute("aria-label"), /^Weight of claude; the other weights follow$/);
  // claude 0.15, gemini 0.25, gpt-5 0.6: by the keyboard, one step and to both ends.
  await sliders.first().focus();
  await ada.page.keyboard.press("ArrowRight");
  assert.deepEqual(await written(ada), [151, 250, 599]);
  assert.equal(await sliders.first().getAttribute("aria-valuetext"), "0.151");
  await ada.page.keyboard.press("End");
  assert.deepEqual(await written(ada), [1000, 0, 0]);
  await ada.page.keyboard.press("Home");
  const [none, gemini, gpt] = await written(ada);
  assert.equal(none, 0);
  assert.equal(gemini + gpt, 1000);
  assert.ok(Math.abs(gemini / gpt - 250 / 599) < 0.01, `the others keep their proportion: ${gemini}, ${gpt}`);
  assert.equal(await sum.innerText(), "1.0000");
  assert.ok(await button.isEnabled());
  // By the mouse: to the middle.
  const box = await sliders.nth(1).boundingBox();
  await ada.page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
  const all = await written(ada);
  assert.ok(Math.abs(all[1] - 500) < 15, `${all}`);
  assert.equal(all.reduce((sum, it) => sum + it, 0), 1000);
  // A number that is typed changes only itself.
  await ada.page.fill("#weight-0", "0.9");
  assert.match(await sum.innerText(), /must be 1/);
  assert.ok(await button.isDisabled());
  assert.deepEqual((await written(ada)).slice(1), all.slice(1));
  assert.deepEqual(await ada.violations(), []);
});

test("an envelope is approved, frozen and unfrozen", async () => {
  await ada.go(POLICY);
  await ada.submit("Approve an envelope");
  await ada.page.fill("#max-0", "0.7");
  await ada.submit("Show what would change");
  await ada.submit("Approve");
  await ada.shows("Done.", "in use");
  await ada.submit("Freeze it");
  await ada.page.fill("#reason", "a launch");
  await ada.submit("Freeze");
  await ada.shows("frozen", "a launch");
  await ada.submit("Unfreeze");
  await ada.submit("Show what would change");
  await ada.submit("Approve");
  await ada.shows("in use", "Number 2");
});

test("configuration is changed after its effect was shown", async () => {
  await ada.go("/configuration");
  await ada.page.locator("a", { hasText: "config/reward_config" }).first().click();
  await ada.page.waitForURL("**/configuration/reward_config");
  await ada.page.getByLabel("latency", { exact: true }).fill("0.5");
  await ada.page.getByLabel("version", { exact: true }).fill("2.0.0");
  await ada.submit("Show what would change");
  await ada.shows("weights.latency", "router:gpt-5", "starts again");
  await ada.page.fill("#reason", "latency matters more");
  await ada.submit("Save");
  await ada.shows("Done.", "2.0.0");
  assert.match(await latest(ada), /config\/reward_config[\s\S]*latency matters more/);
});

test("a page shows a change that someone else made", async () => {
  const other = await Visitor.open(browser, address, token);
  await other.go("/");
  await turn(ada, "learning.autoActivatePolicies", "true");
  // No one reloads the page of the other one: it is told, within five seconds.
  for (let attempt = 0; !(await other.text()).includes("autoActivatePolicies is on"); attempt += 1) {
    assert.ok(attempt < 60, "the page did not fetch itself again");
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await turn(ada, "learning.autoActivatePolicies", "false");
  assert.deepEqual(other.faults, []);
  await other.context.close();
});

const pages = () => [
  "/",
  "/?range=week",
  "/policies",
  POLICY,
  `${POLICY}/override`,
  `${POLICY}/envelope`,
  `${POLICY}/decide?action=pin`,
  `${POLICY}/decide?action=rollback&version=${archived}`,
  "/experiments",
  "/flags?flag=learning.enabled&to=true",
  "/components",
  "/components/router%3Agpt-5?window=24h",
  "/quarantine",
  "/audit",
  "/configuration",
  "/configuration/flags",
  "/configuration/reward_config",
  "/configuration/tuning",
  "/configuration/tuning?as=json",
];

const check = async (name, options, at = address, paths = pages()) => {
  const visitor = await Visitor.open(browser, at, token, options);
  const found = [];
  for (const [index, path] of paths.entries()) {
    await visitor.go(path);
    found.push(...(await visitor.violations()).map((it) => `${path}: ${it}`));
    if (await visitor.isWider()) found.push(`${path}: the page is wider than the window`);
    if (shots) await visitor.page.screenshot({ path: `${shots}/${name}-${String(index).padStart(2, "0")}.png`, fullPage: true });
  }
  assert.deepEqual(found, []);
  assert.deepEqual(visitor.faults, []);
  await visitor.context.close();
};

const LOOKS = {
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  phone: { colorScheme: "light", viewport: { width: 390, height: 844 } },
};

for (const [name, options] of Object.entries(LOOKS)) {
  test(`every page is accessible: ${name}`, () => check(name, options));
}

test("the pages of a draft are accessible", async () => {
  const visitor = await Visitor.open(browser, plain, token);
  const version = await draft(visitor);
  await turn(visitor, "learning.enabled", "false");
  await visitor.context.close();
  const decide = `${POLICY}/decide?version=${version}&action`;
  const paths = ["/", POLICY, `${decide}=activate`, `${decide}=reject`, `${POLICY}/test?version=${version}`];
  for (const [name, options] of Object.entries(LOOKS)) {
    await check(`draft-${name}`, options, plain, paths);
  }
});

test("without scripts the weights are numbers, and are written by hand", async () => {
  const grace = await Visitor.open(browser, plain, token, { javaScriptEnabled: false });
  await grace.go(`${POLICY}/override`);
  assert.equal(await grace.page.locator("input[type=range]").count(), 0);
  for (const [index, weight] of ["0.2", "0.3", "0.5"].entries()) await grace.page.fill(`#weight-${index}`, weight);
  await grace.submit("Show what would change");
  await grace.shows("modelWeights.gpt-5", "0.5");
  assert.deepEqual(grace.faults, []);
  await grace.context.close();
});

test("an unknown path is a page for a browser", async () => {
  const response = await ada.context.request.get(`${address}/nosuch`, { headers: { accept: "text/html" } });
  assert.equal(response.status(), 404);
  assert.match(response.headers()["content-type"], /text\/html/);
  assert.match(response.headers()["content-security-policy"], /default-src 'none'/);
});

test("without scripts the same activation works", async () => {
  const grace = await Visitor.open(browser, plain, token, { javaScriptEnabled: false });
  const version = await draft(grace);
  await grace.submit(`Activate ${version}`);
  await grace.shows("modelWeights.gpt-5");
  await grace.submit(`Activate ${version}`);
  await grace.shows("Done.", `Active: ${version}`);
  assert.match(await latest(grace), /activate/);
  assert.deepEqual(grace.faults, []);
  await grace.context.close();
});

test("no page did what its policy forbids", () => {
  assert.deepEqual(ada.faults, []);
});
