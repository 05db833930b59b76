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

// Weights written by hand: a slider beside each number. A slider that moves rescales the other weights, so
// that the sum stays 1; a number that is typed changes only itself.
const UNITS = 1000;

// Shares `units` in proportion to `shape`, in whole units: the largest remainders get what rounding leaves.
const shared = (units, shape) => {
  const sum = shape.reduce((sum, it) => sum + it, 0);
  const exact = shape.map((it) => (sum > 0 ? (it / sum) * units : units / shape.length));
  const whole = exact.map(Math.floor);
  const order = exact.map((it, index) => [it - whole[index], index]).sort((a, b) => b[0] - a[0]);
  const left = units - whole.reduce((sum, it) => sum + it, 0);
  for (const [, index] of order.slice(0, left)) whole[index] += 1;
  return whole;
};

for (const form of document.querySelectorAll("[data-weights]")) {
  const numbers = [...form.querySelectorAll("input[type=number]")];
  const output = form.querySelector("[data-sum]");
  const submit = form.querySelector("button[type=submit]");
  const weights = () => numbers.map((it) => Math.max(0, Number(it.value) || 0));
  const sliders = numbers.map((number) => {
    const slider = document.createElement("input");
    const name = form.querySelector(`label[for="${number.id}"]`).textContent.trim();
    Object.assign(slider, { type: "range", min: 0, max: UNITS, step: 1 });
    slider.setAttribute("aria-label", `Weight of ${name}; the other weights follow`);
    slider.disabled = numbers.length < 2;
    number.after(slider);
    return slider;
  });
  const update = () => {
    weights().forEach((weight, index) => {
      sliders[index].value = Math.round(weight * UNITS);
      sliders[index].setAttribute("aria-valuetext", weight.toFixed(3));
    });
    const sum = weights().reduce((sum, it) => sum + it, 0);
    const isValid = Math.abs(sum - 1) < 1e-6;
    output.textContent = sum.toFixed(4) + (isValid ? "" : ", must be 1");
    output.classList.toggle("bad", !isValid);
    submit.disabled = !isValid;
  };
  // The proportions that the other weights keep while a slider moves, also where it takes all of them.
  let shape = weights();
  let lastMoved = null;
  sliders.forEach((slider, moved) => {
    const isOther = (_, index) => index !== moved;
    slider.addEventListener("input", () => {
      if (lastMoved !== moved) shape = weights();
      lastMoved = moved;
      const units = Number(slider.value);
      const others = shared(UNITS - units, shape.filter(isOther));
      others.splice(moved, 0, units);
      numbers.forEach((number, index) => {
        number.value = (others[index] / UNITS).toFixed(3);
      });
      update();
    });
    slider.addEventListener("change", () => {
      if (weights().some((weight, index) => isOther(weight, index) && weight > 0)) shape = weights();
    });
  });
  for (const number of numbers) {
    number.addEventListener("input", () => {
      shape = weights();
      update();
    });
  }
  update();
}
