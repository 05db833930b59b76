// Every value is read back unchanged and with the same type.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { useServer } from '../support/harness.js';
import { FieldValue, GeoPoint, Timestamp } from '../support/sdk.js';

const server = useServer();

const VALUES = {
  'null': null,
  'true': true,
  'false': false,
  'zero': 0,
  'a negative integer': -42,
  'the largest safe integer': Number.MAX_SAFE_INTEGER,
  'the smallest safe integer': Number.MIN_SAFE_INTEGER,
  'a double': 234.5,
  'negative zero': -0,
  'the smallest double': Number.MIN_VALUE,
  'the largest double': Number.MAX_VALUE,
  'NaN': NaN,
  'infinity': Infinity,
  'negative infinity': -Infinity,
  'an empty string': '',
  'a string beyond the basic plane': 'grüße 東京 🦀',
  'a string with NUL': 'a\u0000b',
  'bytes': Buffer.from([0, 1, 127, 128, 255]),
  'empty bytes': Buffer.alloc(0),
  'a timestamp with microseconds': new Timestamp(1_700_000_000, 123_456_000),
  'a timestamp before 1970': new Timestamp(-86_400, 999_999_000),
  'the first timestamp': Timestamp.fromDate(new Date('0001-01-01T00:00:00Z')),
  'the last second': new Timestamp(253_402_300_799, 999_999_000),
  'a point': new GeoPoint(52.52, 13.405),
  'a point at the edge': new GeoPoint(-90, 180),
  'an empty array': [],
  'an array of several types': [null, true, 1, 1.5, 'a', new GeoPoint(1, 2), { a: [1] }],
  'an empty map': {},
  'a nested map': { a: { b: { c: [{ d: null }] } } },
  'a vector': FieldValue.vector([1, 2.5, -3]),
};

describe('values', () => {
  for (const [name, value] of Object.entries(VALUES)) {
    test(`${name} is read back`, async () => {
      const document = server.db().doc('c/d');
      await document.set({ value });
      const read = (await document.get()).get('value');
      assert.deepEqual(read, value);
    });
  }

  test('a reference is read back', async () => {
    const db = server.db();
    const target = db.doc('other/x/deep/y');
    await db.doc('c/d').set({ target });
    const read = (await db.doc('c/d').get()).get('target');
    assert.ok(read.isEqual(target));
  });

  test('integers beyond 2^53 are read back exactly', async () => {
    const db = server.db({ useBigInt: true });
    const data = { max: 2n ** 63n - 1n, min: -(2n ** 63n) };
    await db.doc('c/d').set(data);
    assert.deepEqual((await db.doc('c/d').get()).data(), data);
  });

  test('integers and doubles keep their types', async () => {
    const { client, root } = server.raw();
    const fields = { integer: { integerValue: '7' }, double: { doubleValue: 7 } };
    await client.createDocument({
      parent: root, collectionId: 'c', documentId: 'd', document: { fields },
    });
    const [document] = await client.getDocument({ name: `${root}/c/d` });
    assert.equal(document.fields.integer.valueType, 'integerValue');
    assert.equal(document.fields.double.valueType, 'doubleValue');
  });

  test('a timestamp is truncated to microseconds', async () => {
    const document = server.db().doc('c/d');
    await document.set({ at: new Timestamp(10, 123_456_789) });
    const read = (await document.get()).get('at');
    assert.ok(read.isEqual(new Timestamp(10, 123_456_000)), `${read.nanoseconds}`);
  });

  test('field names may contain any character', async () => {
    const document = server.db().doc('c/d');
    const data = { 'a.b': 1, 'c d': 2, '`tick`': 3, 'back\\slash': 4, 'é🦀': 5, '0': 6, '_': 7 };
    await document.set(data);
    assert.deepEqual((await document.get()).data(), data);
  });

  test('an empty document exists', async () => {
    const document = server.db().doc('c/d');
    await document.set({});
    const snapshot = await document.get();
    assert.equal(snapshot.exists, true);
    assert.deepEqual(snapshot.data(), {});
  });

  test('document ids may contain any character except a slash', async () => {
    const collection = server.db().collection('c');
    for (const id of ['a b', '%2F', 'router:gpt-5|1h', '東京', '...', '_x_', '"quoted"']) {
      await collection.doc(id).set({ id });
      assert.equal((await collection.doc(id).get()).get('id'), id);
    }
    assert.equal((await collection.get()).size, 7);
  });
});
