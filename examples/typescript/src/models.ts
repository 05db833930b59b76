/** The simulated models. `gemini` is the fastest, the cheapest and the most reliable. */

export interface Answer {
  model: string;
  costUsd: number;
  tokensIn: number;
  tokensOut: number;
}

const MODELS: Record<string, { fails: number; costUsd: number }> = {
  'gpt-5': { fails: 0.12, costUsd: 0.03 },
  gemini: { fails: 0.01, costUsd: 0.008 },
  claude: { fails: 0.04, costUsd: 0.015 },
};

/** Calls a model; half of the failures are HTTP 429, the other half time-outs. */
export async function callModel(model: string): Promise<Answer> {
  const { fails, costUsd } = MODELS[model] ?? { fails: 0.04, costUsd: 0.015 };
  if (Math.random() < fails) {
    if (Math.random() < 0.5) throw Object.assign(new Error('too many requests'), { status: 429 });
    throw Object.assign(new Error('no answer'), { name: 'TimeoutError' });
  }
  return { model, costUsd, tokensIn: 150, tokensOut: 500 };
}
