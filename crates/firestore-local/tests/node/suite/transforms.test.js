// Field transforms: server time, increments, minimum and maximum, and array operations.

import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';

import { refused, useServer } from '../support/harness.js';
import { code, FieldValue, Timestamp } from '../support/sdk.js';

const server = useServer();
const { arrayRemove, arrayUnion, increment, serverTimestamp } = FieldValue;

describe('transforms of the SDK', () => {
  let document;
  beforeEach(() => {
    document = server.db().doc('c/d');
  });

  const CASES = [
    ['increment adds integers', { v: 40 }, () => increment(2), 42],
    ['increment subtracts', { v: 40 }, () => increment(-50), -10],
    ['increment adds a double to an integer', { v: 1 }, () => increment(0.5), 1.5],
    ['increment of a missing field sets it', {}, () => increment(7), 7],
    ['increment of a string replaces it', { v: 'x' }, () => increment(7), 7],
    ['increment of null replaces it', { v: null }, () => increment(7), 7],
    ['increment of infinity keeps infinity', { v: Infinity }, () => increment(1), Infinity],
    ['increment of NaN keeps NaN', { v: NaN }, () => increment(1), NaN],
    ['union appends missing elements in order', { v: [1, 2] }, () => arrayUnion(3, 2, 4), [1, 2, 3, 4]],
    ['union appends each value once', { v: [] }, () => arrayUnion('a', 'a'), ['a']],
    ['union of a missing field creates an array', {}, () => arrayUnion(1), [1]],
    ['union of a scalar replaces it', { v: 5 }, () => arrayUnion(1), [1]],
    ['union treats 1 and 1.0 as equal', { v: [1.5, 1] }, () => arrayUnion(1.0, 1.5), [1.5, 1]],
    ['union compares maps by value', { v: [{ a: 1 }] }, () => arrayUnion({ a: 1 }, { a: 2 }), [{ a: 1 }, { a: 2 }]],
    ['union adds NaN and null once', { v: [NaN] }, () => arrayUnion(NaN, null, null), [NaN, null]],
    ['remove removes every occurrence', { v: [1, 2, 1, 3] }, () => arrayRemove(1, 3), [2]],
    ['remove of an absent element changes nothing', { v: [1] }, () => arrayRemove(2), [1]],
    ['remove of a missing field creates an empty array', {}, () => arrayRemove(1), []],
    ['remove of a scalar replaces it by an empty array', { v: 5 }, () => arrayRemove(5), []],
  ];
  for (const [name, before, change, after] of CASES) {
    test(name, async () => {
      await document.set({ kept: true, ...before });
      await document.update({ v: change() });
      assert.deepEqual((await document.get()).data(), { kept: true, v: after });
    });
  }

  test('increment works in set with merge, and creates the document', async () => {
    await document.set({ n: { count: increment(1) } }, { merge: true });
    await document.set({ n: { count: increment(1) } }, { merge: true });
    assert.deepEqual((await document.get()).data(), { n: { count: 2 } });
  });

  test('a set with only a transform removes all other fields', async () => {
    await document.set({ a: 1, b: 2 });
    await document.set({ at: serverTimestamp() });
    assert.deepEqual(Object.keys((await document.get()).data()), ['at']);
  });

  test('server time is the current time in milliseconds and the same in a whole commit', async () => {
    const db = document.firestore;
    const batch = db.batch();
    batch.set(document, { a: serverTimestamp(), m: { b: serverTimestamp() } });
    batch.set(db.doc('c/e'), { a: serverTimestamp() });
    await batch.commit();
    const { a, m } = (await document.get()).data();
    assert.ok(a instanceof Timestamp);
    assert.equal(a.nanoseconds % 1_000_000, 0);
    assert.ok(Math.abs(a.toMillis() - Date.now()) < 60_000);
    assert.ok(m.b.isEqual(a));
    assert.ok((await db.doc('c/e').get()).get('a').isEqual(a));
  });

  test('an integer sum beyond 64 bits saturates', async () => {
    const wide = server.db({ useBigInt: true }).doc('c/d');
    await wide.set({ max: 2n ** 63n - 2n, min: -(2n ** 63n) });
    await wide.update({ max: increment(5), min: increment(-1) });
    assert.deepEqual((await wide.get()).data(), { max: 2n ** 63n - 1n, min: -(2n ** 63n) });
  });

  test('a hundred concurrent increments are all counted', async () => {
    await document.set({ n: 0 });
    await Promise.all(Array.from({ length: 100 }, () => document.update({ n: increment(1) })));
    assert.equal((await document.get()).get('n'), 100);
  });

  test('update of a missing document with a transform is NOT_FOUND', async () => {
    await refused(document.update({ n: increment(1) }), code.NOT_FOUND);
  });
});

describe('transforms of the Commit RPC', () => {
  const BOUNDS = [
    ['maximum', { integerValue: 3 }, { integerValue: 5 }, { integerValue: '5' }],
    ['maximum', { integerValue: 7 }, { integerValue: 5 }, { integerValue: '7' }],
    ['maximum', { integerValue: 3 }, { doubleValue: 3.5 }, { doubleValue: 3.5 }],
    ['maximum', { doubleValue: 4 }, { integerValue: 3 }, { doubleValue: 4 }],
    ['maximum', { integerValue: 3 }, { doubleValue: 3 }, { integerValue: '3' }],
    ['maximum', { stringValue: 'x' }, { integerValue: 3 }, { integerValue: '3' }],
    ['maximum', undefined, { integerValue: 3 }, { integerValue: '3' }],
    ['minimum', { integerValue: 3 }, { integerValue: 5 }, { integerValue: '3' }],
    ['minimum', { integerValue: 7 }, { integerValue: 5 }, { integerValue: '5' }],
    ['minimum', { integerValue: 3 }, { doubleValue: 2.5 }, { doubleValue: 2.5 }],
    ['minimum', { doubleValue: 3 }, { integerValue: 3 }, { doubleValue: 3 }],
    ['minimum', { nullValue: 0 }, { integerValue: 3 }, { integerValue: '3' }],
    ['minimum', undefined, { doubleValue: 3 }, { doubleValue: 3 }],
  ];
  for (const [kind, before, operand, after] of BOUNDS) {
    const show = (value) => JSON.stringify(value ?? 'nothing');
    test(`${kind} of ${show(before)} and ${show(operand)}`, async () => {
      const { client, database, root } = server.raw();
      const name = `${root}/c/d`;
      const fields = before ? { v: before } : {};
      const updateTransforms = [{ fieldPath: 'v', [kind]: operand }];
      const writes = [{ update: { name, fields }, updateTransforms }];
      const [{ writeResults }] = await client.commit({ database, writes });
      const [result] = writeResults[0].transformResults;
      assert.equal(result.valueType, Object.keys(after)[0]);
      assert.equal(result[result.valueType], Object.values(after)[0]);
      const [document] = await client.getDocument({ name });
      assert.deepEqual(document.fields.v, result);
    });
  }

  test('transforms apply in order, and each returns its result', async () => {
    const { client, database, root } = server.raw();
    const update = { name: `${root}/c/d`, fields: { n: { integerValue: 1 } } };
    const updateTransforms = [
      { fieldPath: 'n', increment: { integerValue: 1 } },
      { fieldPath: 'n', increment: { integerValue: 10 } },
      { fieldPath: 'a', appendMissingElements: { values: [{ integerValue: 1 }] } },
      { fieldPath: 't', setToServerValue: 'REQUEST_TIME' },
    ];
    const [response] = await client.commit({ database, writes: [{ update, updateTransforms }] });
    const results = response.writeResults[0].transformResults;
    assert.equal(results.length, 4);
    assert.equal(results[0].integerValue, '2');
    assert.equal(results[1].integerValue, '12');
    assert.equal(results[2].valueType, 'nullValue');
    assert.equal(results[3].valueType, 'timestampValue');
  });

  test('the older transform operation is supported', async () => {
    const { client, database, root } = server.raw();
    const document = `${root}/c/d`;
    const fieldTransforms = [{ fieldPath: 'm.n', increment: { integerValue: 2 } }];
    const write = { transform: { document, fieldTransforms } };
    await client.commit({ database, writes: [write, write] });
    const [read] = await client.getDocument({ name: document });
    assert.equal(read.fields.m.mapValue.fields.n.integerValue, '4');
  });

  test('an increment by a value that is not a number is INVALID_ARGUMENT', async () => {
    const { client, database, root } = server.raw();
    const update = { name: `${root}/c/d`, fields: {} };
    const updateTransforms = [{ fieldPath: 'n', increment: { stringValue: '1' } }];
    await refused(client.commit({ database, writes: [{ update, updateTransforms }] }), code.INVALID_ARGUMENT);
  });
});
