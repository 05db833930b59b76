// Chromium, with a watch on everything that a page must not do.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import assert from "node:assert/strict";

import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const launch = () =>
  chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });

/// A browser's context in which an admin is logged in, and a page of it.
export class Visitor {
  static async open(browser, address, token, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
    const visitor = new Visitor();
    Object.assign(visitor, { context, address, faults: [] });
    visitor.page = await context.newPage();
    visitor.watch();
    await visitor.logIn(token);
    return visitor;
  }

  watch() {
    const { page, faults } = this;
    page.on("console", (it) => {
      if (it.type() === "error") faults.push(`console: ${it.text()} at ${page.url()}`);
    });
    page.on("pageerror", (error) => faults.push(`exception: ${error.message} at ${page.url()}`));
    page.on("request", (request) => {
      const url = new URL(request.url());
      const isOwn = url.origin === this.address || url.protocol === "data:";
      if (!isOwn) faults.push(`foreign request: ${request.url()}`);
    });
    page.on("response", (response) => {
      if (response.status() >= 400) faults.push(`${response.status()} of ${response.url()}`);
    });
  }

  async logIn(token) {
    await this.go("/login");
    await this.page.fill("#token", token);
    await this.page.fill("#name", "Ada");
    await this.submit("Log in");
    await this.page.waitForURL(`${this.address}/`);
  }

  async go(path) {
    await this.page.goto(this.address + path, { waitUntil: "load" });
  }

  /// Clicks the link or the button whose whole visible text this is.
  async submit(text) {
    const found = this.page.locator("main, header").locator("a, button").filter({ hasText: new RegExp(`^${text}`) });
    await Promise.all([this.page.waitForNavigation({ waitUntil: "load" }), found.first().click()]);
  }

  async text() {
    return this.page.locator("main").innerText();
  }

  async shows(...parts) {
    const text = await this.text();
    for (const part of parts) assert.ok(text.includes(part), `${part} in ${this.page.url()}:\n${text}`);
  }

  /// The serious violations that axe finds on the page.
  async violations() {
    await this.page.evaluate(axe);
    const found = await this.page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
    const serious = found.violations.filter((it) => ["serious", "critical"].includes(it.impact));
    return serious.map((it) => `${it.id}: ${it.help}: ${it.nodes.map((node) => node.html.slice(0, 160)).slice(0, 3).join(" | ")}`);
  }

  async isWider() {
    return this.page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  }
}
