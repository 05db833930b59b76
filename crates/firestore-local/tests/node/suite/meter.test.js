// The meter counts the operations that Firestore bills, by database and collection.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { freshProject, refused, seed, useServer } from '../support/harness.js';
import { code } from '../support/sdk.js';
import { watch } from '../support/watch.js';

const server = useServer();

/** The operations that `use` adds to the bill of its database, by collection. */
async function billed(prepare, use) {
  const projectId = freshProject();
  const db = server.db({ projectId });
  const bill = async () => {
    const { databases } = await server.meter();
    return databases[`projects/${projectId}/databases/(default)`] ?? {};
  };
  await prepare(db);
  const earlier = await bill();
  await use(db);
  const later = await bill();
  const difference = {};
  for (const [collection, { reads, writes, deletes }] of Object.entries(later)) {
    const from = earlier[collection] ?? { reads: 0, writes: 0, deletes: 0 };
    const counts = [reads - from.reads, writes - from.writes, deletes - from.deletes];
    if (counts.some((count) => count !== 0)) difference[collection] = counts;
  }
  return difference;
}

const ten = (db) => seed(db.collection('c'), Object.fromEntries(
  Array.from({ length: 10 }, (_, n) => [`d${n}`, { n }]),
));

describe('the meter', () => {
  // Reads, writes and deletes by collection.
  const CASES = [
    ['a get', (db) => db.doc('c/d1').get(), { c: [1, 0, 0] }],
    ['a get of a missing document', (db) => db.doc('c/none').get(), { c: [1, 0, 0] }],
    ['getAll', (db) => db.getAll(db.doc('c/d1'), db.doc('c/d2'), db.doc('x/none')), { c: [2, 0, 0], x: [1, 0, 0] }],
    ['a query: one read for each result', (db) => db.collection('c').where('n', '<', 4).get(), { c: [4, 0, 0] }],
    ['a query with a limit', (db) => db.collection('c').limit(3).get(), { c: [3, 0, 0] }],
    ['a query with an offset: skipped documents are reads, too', (db) => db.collection('c').offset(4).limit(3).get(), { c: [7, 0, 0] }],
    ['a query without results: one read', (db) => db.collection('c').where('n', '>', 99).get(), { c: [1, 0, 0] }],
    ['a count: one read for up to a thousand documents', (db) => db.collection('c').count().get(), { c: [1, 0, 0] }],
    ['a count of an empty collection: one read', (db) => db.collection('none').count().get(), { none: [1, 0, 0] }],
    ['a set', (db) => db.doc('c/new').set({}), { c: [0, 1, 0] }],
    ['an update', (db) => db.doc('c/d1').update({ a: 1 }), { c: [0, 1, 0] }],
    ['a delete', (db) => db.doc('c/d1').delete(), { c: [0, 0, 1] }],
    ['a batch: each of its writes', (db) => db.batch().set(db.doc('a/x'), {}).set(db.doc('b/x'), {}).delete(db.doc('c/d1')).commit(), { a: [0, 1, 0], b: [0, 1, 0], c: [0, 0, 1] }],
    ['a write to a subcollection, under its own id', (db) => db.doc('c/d1/sub/s').set({}), { sub: [0, 1, 0] }],
    ['a refused write: nothing', (db) => refused(db.doc('c/d1').create({}), code.ALREADY_EXISTS), {}],
    ['a transaction: its reads and writes', (db) => db.runTransaction(async (transaction) => {
      await transaction.get(db.doc('c/d1'));
      transaction.update(db.doc('c/d1'), { a: 1 });
    }), { c: [1, 1, 0] }],
    ['a bulk writer: each of its writes', async (db) => {
      const writer = db.bulkWriter();
      for (let n = 0; n < 5; n += 1) void writer.set(db.doc(`c/d${n}`), {});
      await writer.close();
    }, { c: [0, 5, 0] }],
    ['a listener: one read for each document it is sent', async (db) => {
      const listener = watch(db.collection('c'));
      await listener.next();
      await db.doc('c/d1').update({ a: 1 });
      await listener.next();
      listener.stop();
    }, { c: [11, 1, 0] }],
  ];
  for (const [name, use, expected] of CASES) {
    test(name, async () => {
      assert.deepEqual(await billed(ten, use), expected);
    });
  }

  test('a count of 2,500 is three reads', async () => {
    const many = (db) => seed(db.collection('c'), Object.fromEntries(
      Array.from({ length: 2500 }, (_, n) => [`d${n}`, {}]),
    ));
    assert.deepEqual(await billed(many, (db) => db.collection('c').count().get()), { c: [3, 0, 0] });
  });

  test('the total is the sum over all databases', async () => {
    const { total, databases } = await server.meter();
    const sum = { reads: 0, writes: 0, deletes: 0 };
    for (const collections of Object.values(databases)) {
      for (const counts of Object.values(collections)) {
        for (const kind of Object.keys(sum)) sum[kind] += counts[kind];
      }
    }
    assert.deepEqual(total, sum);
    assert.ok(total.writes > 0);
  });
});
