// Every filter operator, alone and combined, and the combinations that are refused.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { refused, seed, useServer } from '../support/harness.js';
import { code, FieldPath, Filter } from '../support/sdk.js';

const server = useServer();
const { and, or, where } = Filter;
const NUMBERS = (length) => Array.from({ length }, (_, index) => index);

const DOCUMENTS = {
  a: { n: 1, s: 'x', tags: ['red', 'blue'], m: { k: 1 } },
  b: { n: 2, s: 'y', tags: ['red'], m: { k: 2 } },
  c: { n: 3, s: 'x', tags: [], m: {} },
  d: { n: 4, s: 'z', tags: ['green', 1], m: null },
  e: { n: NaN, s: null },
  f: { n: null, s: 'y', tags: 'red' },
  g: { s: 'x' },
  h: { n: '2', s: 'w', tags: [['never'].length, { k: 1 }] },
};

describe('filters', () => {
  let collection;
  before(async () => {
    collection = server.db().collection('c');
    await seed(collection, DOCUMENTS);
  });

  const found = async (query) => {
    const snapshot = await query.get();
    return snapshot.docs.map((document) => document.id).toSorted().join('');
  };

  const FIELD = [
    ['n', '==', 2, 'b'],
    ['n', '==', 2.0, 'b'],
    ['n', '==', '2', 'h'],
    ['n', '==', null, 'f'],
    ['n', '==', NaN, 'e'],
    ['s', '==', 'x', 'acg'],
    ['m.k', '==', 1, 'a'],
    ['m', '==', { k: 1 }, 'a'],
    ['m', '==', {}, 'c'],
    ['tags', '==', ['red'], 'b'],
    ['n', '<', 2, 'a'],
    ['n', '<=', 2, 'ab'],
    ['n', '>', 2, 'cd'],
    ['n', '>=', 2, 'bcd'],
    ['s', '>', 'x', 'bdf'],
    ['n', '!=', 2, 'acdeh'],
    ['n', '!=', null, 'abcdeh'],
    ['n', '!=', NaN, 'abcdh'],
    ['s', '!=', 'x', 'bdfh'],
    ['n', 'in', [1, 4, 'nothing'], 'ad'],
    ['n', 'in', ['2', 2], 'bh'],
    ['s', 'in', ['x'], 'acg'],
    ['n', 'not-in', [1, 2], 'cdeh'],
    ['n', 'not-in', [1, NaN], 'bcdh'],
    ['s', 'not-in', ['x', 'y'], 'dh'],
    ['tags', 'array-contains', 'red', 'ab'],
    ['tags', 'array-contains', 1, 'dh'],
    ['tags', 'array-contains', { k: 1 }, 'h'],
    ['tags', 'array-contains', 'nothing', ''],
    ['tags', 'array-contains-any', ['blue', 'green'], 'ad'],
    ['tags', 'array-contains-any', ['red', 'blue'], 'ab'],
  ];
  for (const [field, operator, value, expected] of FIELD) {
    test(`${field} ${operator} ${JSON.stringify(value)} ${Number.isNaN(value) ? '(NaN)' : ''}`, async () => {
      assert.equal(await found(collection.where(field, operator, value)), expected);
    });
  }

  const COMPOSITE = [
    ['two equalities', and(where('s', '==', 'x'), where('n', '==', 3)), 'c'],
    ['a range', and(where('n', '>', 1), where('n', '<', 4)), 'bc'],
    ['an equality and a range', and(where('s', '==', 'x'), where('n', '>=', 1)), 'ac'],
    ['ranges over two fields', and(where('n', '>=', 2), where('s', '<', 'z')), 'bc'],
    ['an equality and array-contains', and(where('s', '==', 'x'), where('tags', 'array-contains', 'red')), 'a'],
    ['in and array-contains', and(where('s', 'in', ['x', 'y']), where('tags', 'array-contains', 'red')), 'ab'],
    ['in and in', and(where('s', 'in', ['x', 'y']), where('n', 'in', [2, 3])), 'bc'],
    ['in and array-contains-any', and(where('s', 'in', ['x', 'z']), where('tags', 'array-contains-any', ['red', 1])), 'ad'],
    ['!= and an equality', and(where('n', '!=', 1), where('s', '==', 'x')), 'c'],
    ['or of equalities', or(where('n', '==', 1), where('s', '==', 'y')), 'abf'],
    ['or with overlapping filters returns each document once', or(where('n', '==', 1), where('s', '==', 'x')), 'acg'],
    ['or of ranges', or(where('n', '<', 2), where('n', '>', 3)), 'ad'],
    ['or of different fields', or(where('n', '>', 3), where('m.k', '==', 2)), 'bd'],
    ['or within and', and(where('s', '==', 'x'), or(where('n', '==', 1), where('n', '==', 3))), 'ac'],
    ['and within or', or(and(where('s', '==', 'x'), where('n', '>', 2)), and(where('s', '==', 'y'), where('n', '==', 2))), 'bc'],
    ['or with in', or(where('n', 'in', [1, 2]), where('s', '==', 'z')), 'abd'],
    ['or with array-contains', or(where('tags', 'array-contains', 'blue'), where('n', '==', 4)), 'ad'],
    ['or of one', or(where('n', '==', 1)), 'a'],
    ['or with is-null', or(where('n', '==', null), where('s', '==', null)), 'ef'],
  ];
  for (const [name, filter, expected] of COMPOSITE) {
    test(name, async () => {
      assert.equal(await found(collection.where(filter)), expected);
    });
  }

  const id = FieldPath.documentId();
  const NAMES = [
    ['==', 'b', 'b'],
    ['in', ['a', 'c', 'nothing'], 'ac'],
    ['not-in', ['a', 'b', 'c', 'd'], 'efgh'],
    ['>', 'f', 'gh'],
    ['<=', 'b', 'ab'],
    ['!=', 'a', 'bcdefgh'],
  ];
  for (const [operator, value, expected] of NAMES) {
    test(`document id ${operator} ${JSON.stringify(value)}`, async () => {
      assert.equal(await found(collection.where(id, operator, value)), expected);
    });
  }

  test('a document id and a field', async () => {
    const query = collection.where(id, '>', 'a').where('s', '==', 'x');
    assert.equal(await found(query), 'cg');
  });

  test('in with 30 values is allowed', async () => {
    assert.equal(await found(collection.where('n', 'in', NUMBERS(30))), 'abcd');
  });

  test('not-in with 10 values is allowed', async () => {
    assert.equal(await found(collection.where('n', 'not-in', NUMBERS(10))), 'eh');
  });
});

// The SDK's transport retries a stream that fails before its first message for a few seconds.
// Running these tests concurrently takes that time only once.
describe('refused filters', { concurrency: true }, () => {
  const REFUSED = [
    ['in with 31 values', where('n', 'in', NUMBERS(31))],
    ['not-in with 11 values', where('n', 'not-in', NUMBERS(11))],
    ['array-contains-any with 31 values', where('tags', 'array-contains-any', NUMBERS(31))],
    ['a product of more than 30 disjunctions', and(where('n', 'in', NUMBERS(6)), where('s', 'in', NUMBERS(6)))],
    ['in without values', where('n', 'in', [])],
    ['not-in with !=', and(where('n', 'not-in', [1]), where('s', '!=', 'x'))],
    ['two !=', and(where('n', '!=', 1), where('s', '!=', 'x'))],
    ['not-in with in', and(where('n', 'not-in', [1]), where('s', 'in', ['x']))],
    ['not-in with or', or(where('n', 'not-in', [1]), where('s', '==', 'x'))],
    ['two array-contains', and(where('tags', 'array-contains', 1), where('tags', 'array-contains', 2))],
    ['array-contains with array-contains-any', and(where('tags', 'array-contains', 1), where('tags', 'array-contains-any', [2]))],
  ];
  for (const [name, filter] of REFUSED) {
    test(`${name} is INVALID_ARGUMENT`, async () => {
      await refused(server.db().collection('c').where(filter).get(), code.INVALID_ARGUMENT);
    });
  }
});
