/** Against the local Firestore that FIRESTORE_EMULATOR_HOST names. */

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';

import { Firestore } from '@google-cloud/firestore';

import { Learning, type NewObservation, describeError, observationOfSpan, problemsOf } from '../src/index.js';

assert.ok(process.env['FIRESTORE_EMULATOR_HOST'], 'FIRESTORE_EMULATOR_HOST must name a local Firestore');

const connect = () => new Firestore({ projectId: `test-${randomUUID().slice(0, 8)}` });
const observation = { component: 'CanaryManager', outcome: 'success', durationMs: 12 } as const;

async function stored(db: Firestore) {
  const found = await db.collection('ops_observations').get();
  return found.docs.map((it) => it.data());
}

async function until(condition: () => boolean) {
  for (let tries = 0; tries < 200 && !condition(); tries++) {
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  assert.ok(condition(), `within five seconds: ${condition.toString()}`);
}

function version(number: string, more: object = {}) {
  const weights = { 'gpt-5': 0.5, gemini: 0.5 };
  return {
    id: 'router-core', version: number, status: 'active',
    params: { modelWeights: weights, fallbackOn: ['timeout', 'rate_limit'], cooldownMs: 60_000 },
    ...more,
  };
}

test('an observation is stored with id and time, and without undefined fields', async () => {
  const db = connect();
  const learning = new Learning(db);
  const meta = { from: 1, to: undefined, at: new Date(0), map: new Map() };
  await learning.recordObservation({ ...observation, costUsd: undefined, meta });
  assert.deepEqual(await learning.close(), { written: 1, sampledOut: 0, dropped: 0, invalid: 0, failed: 0 });
  const [document] = await stored(db);
  assert.equal(typeof document?.['id'], 'string');
  assert.ok(Math.abs(document?.['ts'] - Date.now()) < 60_000);
  assert.deepEqual(document?.['meta'], { from: 1, at: '1970-01-01T00:00:00.000Z', map: {} });
  assert.ok(!('costUsd' in document) && !('sampleRate' in document));
  await db.terminate();
});

test('nothing that a caller passes makes recording throw', async () => {
  const db = connect();
  const errors: string[] = [];
  const learning = new Learning(db, { onError: (error) => errors.push(error.message) });
  const circular: Record<string, unknown> = {};
  circular['self'] = circular;
  const hostile = [
    undefined, null, 1, {}, { ...observation, component: 'a\u0007' }, { ...observation, outcome: 'ok' },
    { ...observation, meta: circular }, { ...observation, meta: 1n }, { ...observation, sampleRate: 0 },
    { ...observation, ts: 1.5 }, { ...observation, id: 'a/b' }, { ...observation, id: '' },
  ];
  for (const it of hostile) await learning.recordObservation(it as unknown as NewObservation);
  const { written, invalid, failed } = await learning.close();
  assert.equal(written, 0);
  assert.equal(invalid + failed, hostile.length);
  assert.ok(errors.length >= hostile.length);
  await db.terminate();
});

test('an invalid optional field is reported and does not cost the observation', async () => {
  const db = connect();
  const errors: string[] = [];
  const learning = new Learning(db, { onError: (error) => errors.push(error.message) });
  await learning.recordObservation({ ...observation, tokensIn: -1 });
  assert.equal((await learning.close()).written, 1);
  assert.match(errors[0] ?? '', /invalid tokensIn: expected a whole number from 0/);
  await db.terminate();
});

test('an id that is recorded twice is stored once and counts as written', async () => {
  const db = connect();
  const learning = new Learning(db);
  const id = randomUUID();
  for (const durationMs of [1, 2]) await learning.recordObservation({ ...observation, id, durationMs });
  assert.equal((await learning.close()).written, 2);
  assert.equal((await stored(db)).length, 1);
  await db.terminate();
});

test('a full queue drops and counts; successes are sampled with their rate', async () => {
  const db = connect();
  const full = new Learning(db, { maxQueued: 2 });
  for (let n = 0; n < 5; n++) await full.recordObservation(observation);
  const report = await full.close();
  assert.deepEqual([report.written, report.dropped], [2, 3]);

  const sampled = new Learning(db, { successRate: 0.25 });
  for (let n = 0; n < 400; n++) await sampled.recordObservation(observation);
  await sampled.recordObservation({ ...observation, outcome: 'timeout' });
  const { written, sampledOut } = await sampled.close();
  assert.equal(written + sampledOut, 401);
  assert.ok(written > 50 && written < 150, `${written}`);
  const rates = (await stored(db)).map((it) => it['sampleRate']);
  assert.equal(rates.filter((rate) => rate === 0.25).length, written - 1);
  await db.terminate();
});

test('a policy is followed live, keeps the last known version, and starts with the fallback', async () => {
  const db = connect();
  const policies = db.collection('ops_policies');
  const learning = new Learning(db);
  const fallback = { modelWeights: { claude: 1 } };
  const policy = await learning.follow('router-core', { fallback });
  assert.deepEqual(policy.choose('u').draw(), { name: 'claude', weight: 1 });
  assert.equal(policy.choose('u').policyVersion, undefined);

  await policies.doc('router-core@1.0.9').set(version('1.0.9'));
  await until(() => policy.current?.version === '1.0.9');
  // Two active versions, as after an edit by hand: the highest by number is used.
  await policies.doc('router-core@1.0.10').set(version('1.0.10'));
  await until(() => policy.current?.version === '1.0.10');
  const candidate = { experiment: 'e', version: '1.0.11', share: 1, params: { modelWeights: { new: 1 } } };
  await policies.doc('router-core@1.0.10').update({ candidate });
  await until(() => policy.choose('u').isCandidate);
  assert.equal(policy.choose('u').policyVersion, 'router-core@1.0.11');
  await learning.close();
  await db.terminate();
});

test('a request falls back, the failed arm cools down, and only drawn arms name the version', async () => {
  const db = connect();
  await db.collection('ops_policies').doc('router-core@1.0.0').set(version('1.0.0'));
  const learning = new Learning(db);
  const policy = await learning.follow('router-core');
  const call = async (arm: string) => {
    if (arm === 'gpt-5') throw Object.assign(new Error('too many requests'), { status: 429 });
    return { arm, cost: 0.01 };
  };
  const facts = (it: { cost: number }) => ({ costUsd: it.cost });
  let answers = 0;
  for (let n = 0; n < 60; n++) {
    const answer = await learning.route(policy, { component: 'router', unit: `u${n}`, facts }, call);
    answers += Number(answer.arm === 'gemini');
  }
  assert.equal(answers, 60);
  await learning.close();
  const all = await stored(db);
  const failed = all.filter((it) => it['component'] === 'router:gpt-5');
  // With a cooldown of a minute, the failing arm is called once.
  assert.deepEqual(failed.map((it) => [it['outcome'], it['errorCode'], it['policyVersion']]), [
    ['failure', 'rate_limit', 'router-core@1.0.0'],
  ]);
  const served = all.filter((it) => it['component'] === 'router:gemini');
  assert.equal(served.length, 60);
  assert.ok(served.every((it) => it['costUsd'] === 0.01));
  // Until gpt-5 failed, gemini was drawn by the weights; after that it got the share of gpt-5, too.
  const named = served.filter((it) => it['policyVersion'] !== undefined).length;
  assert.ok(named < 60, `${named}`);
  await db.terminate();
});

test('an error that the policy does not list is thrown at once', async () => {
  const db = connect();
  await db.collection('ops_policies').doc('router-core@1.0.0').set(version('1.0.0'));
  const learning = new Learning(db);
  const policy = await learning.follow('router-core');
  let calls = 0;
  const call = async () => {
    calls++;
    throw new TypeError('bad prompt');
  };
  await assert.rejects(learning.route(policy, { component: 'router' }, call), /bad prompt/);
  assert.equal(calls, 1);
  const empty = await learning.follow('missing');
  await assert.rejects(learning.route(empty, { component: 'router' }, call), /no arm/);
  await learning.close();
  await db.terminate();
});

test('errors of fetch, HTTP and gRPC get the codes that policies list', () => {
  const timeout = { outcome: 'timeout', errorCode: 'timeout' };
  const aborted = new DOMException('aborted', 'TimeoutError');
  for (const error of [aborted, { code: 'ETIMEDOUT' }, { status: 504 }, { name: 'AbortError' }]) {
    assert.deepEqual(describeError(error), timeout);
  }
  for (const error of [{ status: 429 }, { code: 'rate_limit_exceeded' }]) {
    assert.deepEqual(describeError(error), { outcome: 'failure', errorCode: 'rate_limit' });
  }
  assert.deepEqual(describeError({ code: 'ECONNREFUSED' }), { outcome: 'failure', errorCode: 'ECONNREFUSED' });
  assert.deepEqual(describeError(undefined), { outcome: 'failure', errorCode: 'error' });
});

test('a span of a GenAI client becomes an observation', () => {
  const span = {
    attributes: {
      'gen_ai.request.model': 'gpt-5', 'gen_ai.usage.input_tokens': 150, 'gen_ai.usage.output_tokens': 500,
      'f0.policy_version': 'router-core@1.0.0',
    },
    startTime: [1_764_000_000, 0], duration: [0, 234_000_000], status: { code: 0 },
  } as const;
  const found = observationOfSpan(span);
  assert.deepEqual(problemsOf(found as unknown as Record<string, unknown>), []);
  assert.equal(found?.component, 'router:gpt-5');
  assert.deepEqual([found?.durationMs, found?.ts, found?.tokensIn], [234, 1_764_000_000_234, 150]);
  const failed = { ...span, attributes: { ...span.attributes, 'error.type': 'timeout' } };
  assert.equal(observationOfSpan(failed)?.outcome, 'timeout');
  assert.equal(observationOfSpan({ ...span, attributes: {} }), undefined);
});
