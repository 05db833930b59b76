// Observations of three arms over the last hours, the same in every run except for the time: one arm is
// plainly worse, so that the tuner proposes a draft.

const ARMS = [
  { arm: "gpt-5", share: 0.6, success: 0.8, ms: 3200, usd: 0.045 },
  { arm: "gemini", share: 0.25, success: 0.985, ms: 600, usd: 0.008 },
  { arm: "claude", share: 0.15, success: 0.98, ms: 800, usd: 0.015 },
];
const HOURS = 5;
const COUNT = 6000;

// A linear congruential generator (Numerical Recipes, 7.1).
let state = 36;
const random = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
};

const draw = () => {
  let rest = random();
  for (const it of ARMS) {
    rest -= it.share;
    if (rest < 0) return it;
  }
  return ARMS[0];
};

const start = Date.now() - HOURS * 3_600_000;
const step = (HOURS * 3_600_000 - 30_000) / COUNT;
const lines = [];
for (let index = 0; index < COUNT; index += 1) {
  const { arm, share, success, ms, usd } = draw();
  lines.push(
    JSON.stringify({
      id: `o-${String(index).padStart(5, "0")}`,
      ts: Math.round(start + index * step),
      component: `router:${arm}`,
      outcome: random() < success ? "success" : "failure",
      durationMs: Math.round(ms * Math.exp((random() + random() + random() - 1.5) * 0.8)),
      costUsd: usd,
      propensity: share,
      policyVersion: "router-core@1.0.0",
    }),
  );
}
console.log(lines.join("\n"));
