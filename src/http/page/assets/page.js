// Progressive enhancement: pages work without this script.
"use strict";

// A page that shows state is fetched again when the server reports a change.
const isLive = () => document.querySelector("[data-live]") !== null;
const refresh = () => {
  const focused = document.activeElement;
  const isTyping = focused && focused.matches("input, textarea, select");
  if (isLive() && !isTyping && !document.hidden) htmx.trigger(document.body, "page-changed");
};
// A hidden page does not listen: a browser opens only six connections to a server over HTTP/1.1, and
// each listening page holds one.
let events = null;
const listen = () => {
  if (!isLive() || !("EventSource" in window)) return;
  if (document.hidden) {
    events?.close();
    events = null;
  } else if (events === null) {
    events = new EventSource("/page/events");
    events.addEventListener("changed", refresh);
  }
};
listen();
document.addEventListener("visibilitychange", () => {
  listen();
  refresh();
});

// Weights written by hand: a slider beside each number, and their sum.
for (const form of document.querySelectorAll("[data-weights]")) {
  const numbers = [...form.querySelectorAll("input[type=number]")];
  const output = form.querySelector("[data-sum]");
  const submit = form.querySelector("button[type=submit]");
  const update = () => {
    const sum = numbers.reduce((sum, it) => sum + (Number(it.value) || 0), 0);
    const isValid = Math.abs(sum - 1) < 1e-6;
    output.textContent = sum.toFixed(4) + (isValid ? "" : ", must be 1");
    output.classList.toggle("bad", !isValid);
    submit.disabled = !isValid;
  };
  for (const number of numbers) {
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: 0, max: 1, step: 0.001, value: number.value });
    slider.setAttribute("aria-label", "Slider: " + form.querySelector(`label[for="${number.id}"]`).textContent);
    slider.addEventListener("input", () => {
      number.value = slider.value;
      update();
    });
    number.addEventListener("input", () => {
      slider.value = number.value;
      update();
    });
    number.after(slider);
  }
  update();
}
