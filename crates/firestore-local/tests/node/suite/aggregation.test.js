// The results of count, sum and average, and their types.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { collect, refused, seed, useServer } from '../support/harness.js';
import { AggregateField, code } from '../support/sdk.js';

const server = useServer();
const { average, count, sum } = AggregateField;

describe('aggregation', () => {
  let collection;
  before(async () => {
    collection = server.db().collection('c');
    await seed(collection, {
      a: { n: 1, k: 'x', big: 2 ** 52, d: 0.1 },
      b: { n: 2, k: 'x', big: 2 ** 52, d: 0.2 },
      c: { n: 3, k: 'y', big: 2 ** 52, d: 'not a number' },
      d: { n: 4.5, k: 'y' },
      e: { n: 'text', k: 'y', nan: NaN },
      f: { k: 'z', nan: 1, m: { n: 7 } },
    });
  });

  const result = async (query, fields) => (await query.aggregate(fields).get()).data();

  const CASES = [
    ['count of a collection', (c) => c, { r: count() }, { r: 6 }],
    ['count with a filter', (c) => c.where('k', '==', 'x'), { r: count() }, { r: 2 }],
    ['count of an empty result', (c) => c.where('k', '==', 'none'), { r: count() }, { r: 0 }],
    ['count up to a limit', (c) => c.limit(4), { r: count() }, { r: 4 }],
    ['count after an offset', (c) => c.offset(4), { r: count() }, { r: 2 }],
    ['count within cursors', (c) => c.orderBy('n').startAfter(1).endAt(4.5), { r: count() }, { r: 3 }],
    ['count with an order omits documents without the field', (c) => c.orderBy('nan'), { r: count() }, { r: 2 }],
    ['sum skips values that are not numbers', (c) => c, { r: sum('n') }, { r: 10.5 }],
    ['sum of doubles', (c) => c, { r: sum('d') }, { r: 0.1 + 0.2 }],
    ['sum of an empty result is zero', (c) => c.where('k', '==', 'none'), { r: sum('n') }, { r: 0 }],
    ['sum of a field that no document has is zero', (c) => c, { r: sum('none') }, { r: 0 }],
    ['sum with NaN is NaN', (c) => c, { r: sum('nan') }, { r: NaN }],
    ['sum of a nested field', (c) => c, { r: sum('m.n') }, { r: 7 }],
    ['sum with a limit', (c) => c.orderBy('n').limit(2), { r: sum('n') }, { r: 3 }],
    ['average skips values that are not numbers', (c) => c, { r: average('n') }, { r: 10.5 / 4 }],
    ['average of an empty result is null', (c) => c.where('k', '==', 'none'), { r: average('n') }, { r: null }],
    ['average with NaN is NaN', (c) => c, { r: average('nan') }, { r: NaN }],
    ['several aggregations in one query', (c) => c.where('k', '==', 'x'), { n: count(), s: sum('n'), a: average('n') }, { n: 2, s: 3, a: 1.5 }],
    ['aggregations of several fields count only documents that have all of them', (c) => c, { n: count(), s: sum('n'), b: sum('big') }, { n: 3, s: 6, b: 3 * 2 ** 52 }],
  ];
  for (const [name, build, fields, expected] of CASES) {
    test(name, async () => {
      assert.deepEqual(await result(build(collection), fields), expected);
    });
  }

  test('count() aggregates a single count', async () => {
    const snapshot = await collection.count().get();
    assert.equal(snapshot.data().count, 6);
    assert.ok(Math.abs(snapshot.readTime.toMillis() - Date.now()) < 60_000);
  });

  test('aggregation within a transaction', async () => {
    const db = collection.firestore;
    const counted = await db.runTransaction((transaction) => transaction.get(collection.count()));
    assert.equal(counted.data().count, 6);
  });

  test('count and sum of 1,100 documents', async () => {
    const many = server.db().collection('many');
    await seed(many, Object.fromEntries(Array.from({ length: 1200 }, (_, n) => [`d${n}`, { n }])));
    assert.deepEqual(
      await result(many.where('n', '>=', 100), { n: count(), s: sum('n') }),
      { n: 1100, s: (100 + 1199) * 1100 / 2 },
    );
  });
});

describe('aggregation RPC', { concurrency: true }, () => {
  const run = async (fields, aggregations, options = {}) => {
    const { client, database, root } = server.raw();
    const writes = fields.map((v, n) => ({ update: { name: `${root}/c/d${n}`, fields: { v } } }));
    await client.commit({ database, writes });
    const structuredQuery = { from: [{ collectionId: 'c' }] };
    const request = { parent: root, structuredAggregationQuery: { structuredQuery, aggregations }, ...options };
    const answers = await collect(client.runAggregationQuery(request));
    return answers.find((answer) => answer.result).result.aggregateFields;
  };
  const total = [{ alias: 'r', sum: { field: { fieldPath: 'v' } } }];
  const integer = (value) => ({ integerValue: String(value) });
  const double = (value) => ({ doubleValue: value });

  const TYPES = [
    ['integers sum to an integer', [integer(1), integer(2)], 'integerValue', '3'],
    ['an integer and a double sum to a double', [integer(1), double(2)], 'doubleValue', 3],
    ['an integer sum beyond 64 bits is a double', [integer(2n ** 63n - 1n), integer(1)], 'doubleValue', 2 ** 63],
    ['a sum without numbers is the integer zero', [{ stringValue: 'x' }], 'integerValue', '0'],
    ['opposite infinities sum to NaN', [double(Infinity), double(-Infinity)], 'doubleValue', NaN],
  ];
  for (const [name, fields, type, value] of TYPES) {
    test(name, async () => {
      const { r } = await run(fields, total);
      assert.equal(r.valueType, type);
      assert.deepEqual(r[type], value);
    });
  }

  test('an average is a double', async () => {
    const { r } = await run([integer(2), integer(4)], [{ alias: 'r', avg: { field: { fieldPath: 'v' } } }]);
    assert.equal(r.valueType, 'doubleValue');
    assert.equal(r.doubleValue, 3);
  });

  test('upTo limits a count', async () => {
    const many = Array.from({ length: 5 }, (_, n) => integer(n));
    const { r } = await run(many, [{ alias: 'r', count: { upTo: { value: 3 } } }]);
    assert.equal(r.integerValue, '3');
  });

  test('an alias may be omitted', async () => {
    const fields = await run([integer(1)], [{ count: {} }]);
    assert.equal(Object.values(fields)[0].integerValue, '1');
  });

  const REFUSED = [
    ['a duplicate alias', [{ alias: 'a', count: {} }, { alias: 'a', count: {} }]],
    ['six aggregations', Array.from({ length: 6 }, (_, n) => ({ alias: `a${n}`, count: {} }))],
    ['no aggregation', []],
  ];
  for (const [name, aggregations] of REFUSED) {
    test(`${name} is INVALID_ARGUMENT`, async () => {
      await refused(run([integer(1)], aggregations), code.INVALID_ARGUMENT);
    });
  }
});
