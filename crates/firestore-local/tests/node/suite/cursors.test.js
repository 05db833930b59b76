// Orders, cursors, limits, offsets and projections.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { ids, seed, useServer } from '../support/harness.js';
import { FieldPath } from '../support/sdk.js';

const server = useServer();

const DOCUMENTS = {
  a: { n: 1, s: 'x', m: { k: 9, l: 8 } },
  b: { n: 2, s: 'x' },
  c: { n: 2, s: 'y' },
  d: { n: 2, s: 'y' },
  e: { n: 3, s: 'z' },
  f: { n: 4 },
};

describe('cursors', () => {
  let collection;
  let byNumber;
  before(async () => {
    collection = server.db().collection('c');
    byNumber = collection.orderBy('n');
    await seed(collection, DOCUMENTS);
  });

  const id = FieldPath.documentId();
  const snapshot = (name) => collection.doc(name).get();

  const QUERIES = [
    ['without an order, by name', (c) => c, 'abcdef'],
    ['one order, ties by name', (c) => c.orderBy('n'), 'abcdef'],
    ['a descending order, ties by descending name', (c) => c.orderBy('n', 'desc'), 'fedcba'],
    ['two orders', (c) => c.orderBy('s').orderBy('n', 'desc'), 'badce'],
    ['two descending orders', (c) => c.orderBy('n', 'desc').orderBy('s', 'desc'), 'edcba'],
    ['mixed orders, ties by name in the direction of the last', (c) => c.orderBy('n', 'desc').orderBy('s'), 'ebcda'],
    ['an explicit name order opposite to the field', (c) => c.orderBy('n').orderBy(id, 'desc'), 'adcbef'],
    ['by name descending after an equality', (c) => c.where('n', '==', 2).orderBy(id, 'desc'), 'dcb'],
    ['by a nested field', (c) => c.orderBy('m.k'), 'a'],
    ['a range orders by its field', (c) => c.where('n', '>', 1), 'bcdef'],
    ['a range over two fields orders by both', (c) => c.where('n', '>', 1).where('s', '>', 'x'), 'cde'],
    ['a range with another order', (c) => c.where('n', '>=', 2).orderBy('s', 'desc'), 'edcb'],
    ['startAt includes its value', (c) => c.orderBy('n').startAt(2), 'bcdef'],
    ['startAfter excludes its value', (c) => c.orderBy('n').startAfter(2), 'ef'],
    ['endAt includes its value', (c) => c.orderBy('n').endAt(2), 'abcd'],
    ['endBefore excludes its value', (c) => c.orderBy('n').endBefore(2), 'a'],
    ['a start and an end', (c) => c.orderBy('n').startAfter(1).endAt(3), 'bcde'],
    ['between values that no document has', (c) => c.orderBy('n').startAt(1.5).endAt(3.5), 'bcde'],
    ['an empty range', (c) => c.orderBy('n').startAt(3).endBefore(2), ''],
    ['with a descending order', (c) => c.orderBy('n', 'desc').startAt(3).endBefore(1), 'edcb'],
    ['with two orders', (c) => c.orderBy('n').orderBy('s').startAt(2, 'y'), 'cde'],
    ['with a prefix of two orders', (c) => c.orderBy('n').orderBy('s').startAfter(1), 'bcde'],
    ['with mixed orders', (c) => c.orderBy('n').orderBy('s', 'desc').startAt(2, 'x'), 'be'],
    ['by name', (c) => c.orderBy(id).startAfter('b').endAt('d'), 'cd'],
    ['by field and name', (c) => c.orderBy('n').orderBy(id).startAfter(2, 'c'), 'def'],
    ['limit', (c) => c.orderBy('n').limit(2), 'ab'],
    ['limit beyond the end', (c) => c.limit(100), 'abcdef'],
    ['offset', (c) => c.orderBy('n').offset(4), 'ef'],
    ['offset beyond the end', (c) => c.offset(100), ''],
    ['offset and limit', (c) => c.orderBy('n').offset(1).limit(2), 'bc'],
    ['offset after a cursor', (c) => c.orderBy('n').startAt(2).offset(1).limit(2), 'cd'],
    ['limitToLast', (c) => c.orderBy('n').limitToLast(2), 'ef'],
    ['limitToLast of a descending order', (c) => c.orderBy('n', 'desc').limitToLast(2), 'ba'],
    ['limitToLast before a cursor', (c) => c.orderBy('n').endBefore(3).limitToLast(2), 'cd'],
    ['limitToLast within cursors', (c) => c.orderBy('n').startAt(2).endAt(3).limitToLast(3), 'cde'],
    ['a filter, an order, a cursor and a limit', (c) => c.where('s', '==', 'y').orderBy('n').startAt(2).limit(1), 'c'],
  ];
  for (const [name, build, expected] of QUERIES) {
    test(name, async () => {
      assert.equal((await ids(build(collection))).join(''), expected);
    });
  }

  const SNAPSHOTS = [
    ['startAt', (at) => byNumber.startAt(at), 'cdef'],
    ['startAfter', (at) => byNumber.startAfter(at), 'def'],
    ['endAt', (at) => byNumber.endAt(at), 'abc'],
    ['endBefore', (at) => byNumber.endBefore(at), 'ab'],
    ['startAfter without an order', (at) => collection.startAfter(at), 'def'],
    ['startAfter with a range', (at) => collection.where('n', '>', 1).startAfter(at), 'def'],
    ['startAfter, descending', (at) => collection.orderBy('n', 'desc').startAfter(at), 'ba'],
    ['endBefore with limitToLast', (at) => byNumber.endBefore(at).limitToLast(1), 'b'],
  ];
  for (const [name, build, expected] of SNAPSHOTS) {
    test(`${name} with a snapshot as cursor`, async () => {
      assert.equal((await ids(build(await snapshot('c')))).join(''), expected);
    });
  }

  test('pages by snapshot return every document once', async () => {
    const pages = [];
    let query = byNumber.limit(2);
    for (;;) {
      const page = await query.get();
      if (page.empty) break;
      pages.push(page.docs.map((document) => document.id).join(''));
      query = byNumber.limit(2).startAfter(page.docs.at(-1));
    }
    assert.deepEqual(pages, ['ab', 'cd', 'ef']);
  });

  test('select returns only its fields', async () => {
    const found = await collection.orderBy('n').limit(1).select('n', 'm.k').get();
    assert.deepEqual(found.docs[0].data(), { n: 1, m: { k: 9 } });
  });

  test('select without fields returns only names', async () => {
    const found = await collection.orderBy('n').limit(1).select().get();
    assert.equal(found.docs[0].id, 'a');
    assert.deepEqual(found.docs[0].data(), {});
  });

  test('select of a field includes documents without it', async () => {
    const found = await collection.select('m').get();
    assert.equal(found.size, 6);
    assert.deepEqual(found.docs[1].data(), {});
  });

  test('a query of an empty collection returns a read time', async () => {
    const found = await server.db().collection('nothing').get();
    assert.equal(found.empty, true);
    assert.ok(Math.abs(found.readTime.toMillis() - Date.now()) < 60_000);
  });

  test('a stream returns the same documents', async () => {
    const seen = [];
    for await (const document of byNumber.stream()) seen.push(document.id);
    assert.equal(seen.join(''), 'abcdef');
  });
});
