// Firestore's documented order over all types: null, booleans, numbers (NaN first), timestamps,
// strings by UTF-8, bytes, references, points, arrays, vectors, maps.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { ids, seed, useServer } from '../support/harness.js';
import { FieldPath, FieldValue, GeoPoint, Timestamp } from '../support/sdk.js';

const server = useServer();

/** Values in ascending order. The ids sort in reverse, so that an order by id fails the tests. */
function ascending(db) {
  return [
    null,
    false,
    true,
    NaN,
    -Infinity,
    -1.5,
    -1,
    0,
    Number.MIN_VALUE,
    1,
    1.5,
    2 ** 53,
    Infinity,
    new Timestamp(-1, 0),
    new Timestamp(0, 1_000),
    new Timestamp(1, 0),
    '',
    'A',
    'a',
    'aa',
    'b',
    'é',
    '\uffee',
    '🦀',
    Buffer.from([]),
    Buffer.from([0]),
    Buffer.from([0, 1]),
    Buffer.from([255]),
    db.doc('a/a'),
    db.doc('a/a/a/a'),
    db.doc('a/b'),
    db.doc('b/a'),
    new GeoPoint(-10, 50),
    new GeoPoint(10, -20),
    new GeoPoint(10, 20),
    [],
    [null],
    [1],
    [1, 0],
    [1, 'a'],
    [2],
    ['a'],
    FieldValue.vector([100]),
    FieldValue.vector([1, 2]),
    FieldValue.vector([1, 3]),
    {},
    { a: 1 },
    { a: 1, b: 0 },
    { a: 2 },
    { a: 'x' },
    { b: 0 },
  ];
}

describe('ordering', () => {
  let collection;
  let expected;

  before(async () => {
    const db = server.db();
    collection = db.collection('c');
    const documents = {};
    ascending(db).forEach((v, index) => {
      documents[`z${String(999 - index)}`] = { v, n: index };
    });
    documents.without = { n: -1 };
    await seed(collection, documents);
    expected = Object.keys(documents).slice(0, -1);
  });

  test('ascends across types and within each', async () => {
    assert.deepEqual(await ids(collection.orderBy('v')), expected);
  });

  test('descends in exactly the reverse', async () => {
    assert.deepEqual(await ids(collection.orderBy('v', 'desc')), expected.toReversed());
  });

  test('omits documents without the field', async () => {
    const found = await ids(collection.orderBy('v'));
    assert.ok(!found.includes('without'));
    assert.equal((await collection.get()).size, expected.length + 1);
  });

  const BRACKETS = [
    ['numbers below, without NaN', '<', 0, [4, 7]],
    ['numbers at most', '<=', 0, [4, 8]],
    ['numbers above', '>', 1, [10, 13]],
    ['numbers at least', '>=', 1.5, [10, 13]],
    ['booleans at least', '>=', false, [1, 3]],
    ['timestamps above', '>', new Timestamp(-1, 0), [14, 16]],
    ['strings below', '<', 'b', [16, 20]],
    ['strings above', '>', 'aa', [20, 24]],
    ['bytes above', '>', Buffer.from([0]), [26, 28]],
    ['points above', '>', new GeoPoint(-10, 50), [33, 35]],
    ['arrays above', '>', [1], [38, 42]],
    ['maps above', '>', { a: 1 }, [47, 51]],
    ['maps below', '<', { a: 1 }, [45, 46]],
  ];
  for (const [name, operator, value, [from, to]] of BRACKETS) {
    test(`an inequality matches only values of its type: ${name}`, async () => {
      const found = await ids(collection.where('v', operator, value).orderBy('v'));
      assert.deepEqual(found, expected.slice(from, to));
    });
  }

  test('an inequality with a reference matches only references', async () => {
    const found = await ids(collection.where('v', '>', collection.firestore.doc('a/a')));
    assert.deepEqual(found, expected.slice(29, 32));
  });

  test('cursors may span several types', async () => {
    const found = await ids(collection.orderBy('v').startAt(true).endBefore('a'));
    assert.deepEqual(found, expected.slice(2, 18));
  });

  test('equal values are ordered by name', async () => {
    const same = server.db().collection('same');
    await seed(same, { c: { v: 1 }, a: { v: 1.0 }, b: { v: 1 } });
    assert.deepEqual(await ids(same.orderBy('v')), ['a', 'b', 'c']);
    assert.deepEqual(await ids(same.orderBy('v', 'desc')), ['c', 'b', 'a']);
  });

  test('names are ordered by the bytes of each segment', async () => {
    const db = server.db();
    const names = ['A', 'a', 'a!', 'a0', 'aa', 'b', 'é', '\uffee', '🦀'];
    await seed(db.collection('n'), Object.fromEntries(names.map((id) => [id, { v: 1 }])));
    assert.deepEqual(await ids(db.collection('n')), names);
    const descending = db.collection('n').where('v', '==', 1).orderBy(FieldPath.documentId(), 'desc');
    assert.deepEqual(await ids(descending), names.toReversed());
  });
});
