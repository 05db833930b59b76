// Firestore's limits and rules, and the status codes for requests that violate them.

import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';

import { refused, useServer } from '../support/harness.js';
import { code, FieldValue } from '../support/sdk.js';

const server = useServer();
const MIB = 1 << 20;

describe('sizes', () => {
  let document;
  beforeEach(() => {
    document = server.db().doc('c/d');
  });

  test('a document just under 1 MiB is accepted', async () => {
    await document.set({ s: 'x'.repeat(MIB - 200) });
    assert.equal((await document.get()).get('s').length, MIB - 200);
  });

  test('a document over 1 MiB is INVALID_ARGUMENT', async () => {
    const halves = { a: 'x'.repeat(MIB / 2), b: 'x'.repeat(MIB / 2) };
    await refused(document.set(halves), code.INVALID_ARGUMENT, /exceeds the maximum allowed size/);
    assert.equal((await document.get()).exists, false);
  });

  test('the size counts every part of a document', async () => {
    // Name: 16 + "c" 2 + "d" 2; document: 32; two fields: name 2 + string + 1.
    const room = MIB - 16 - 2 - 2 - 32 - 2 * (2 + 1);
    const data = (bytes) => ({ a: 'x'.repeat(1000), b: 'x'.repeat(bytes - 1000) });
    await document.set(data(room));
    await refused(document.set(data(room + 1)), code.INVALID_ARGUMENT);
  });

  test('a value of 1,048,487 bytes is accepted, a longer one is INVALID_ARGUMENT', async () => {
    const most = 1_048_487;
    await document.set({ s: 'x'.repeat(most) });
    await refused(document.set({ s: 'x'.repeat(most + 1) }), code.INVALID_ARGUMENT);
  });

  test('a transform that makes a document larger than 1 MiB is INVALID_ARGUMENT', async () => {
    await document.set({ s: 'x'.repeat(MIB - 200), l: [] });
    const growth = document.update({ l: FieldValue.arrayUnion('y'.repeat(500)) });
    await refused(growth, code.INVALID_ARGUMENT);
    assert.deepEqual((await document.get()).get('l'), []);
  });

  test('an update that makes a document larger than 1 MiB is INVALID_ARGUMENT', async () => {
    await document.set({ a: 'x'.repeat(MIB / 2) });
    await refused(document.update({ b: 'x'.repeat(MIB / 2) }), code.INVALID_ARGUMENT);
  });

  test('a request of 9 MiB is accepted', async () => {
    const batch = document.firestore.batch();
    for (let n = 0; n < 9; n += 1) batch.set(document.parent.doc(`d${n}`), { s: 'x'.repeat(MIB - 1000) });
    assert.equal((await batch.commit()).length, 9);
  });

  test('a request over 10 MiB is INVALID_ARGUMENT', async () => {
    const batch = document.firestore.batch();
    for (let n = 0; n < 12; n += 1) batch.set(document.parent.doc(`d${n}`), { s: 'x'.repeat(MIB - 1000) });
    await refused(batch.commit(), code.INVALID_ARGUMENT);
    assert.equal((await document.parent.count().get()).data().count, 0);
  });

  test('a result over 10 MiB is streamed', async () => {
    for (let half = 0; half < 2; half += 1) {
      const batch = document.firestore.batch();
      for (let n = 0; n < 8; n += 1) batch.set(document.parent.doc(`${half}${n}`), { s: 'x'.repeat(MIB - 1000) });
      await batch.commit();
    }
    assert.equal((await document.parent.get()).size, 16);
  });

  test('500 transforms of a document are accepted, 501 are INVALID_ARGUMENT', async () => {
    const counters = (count) => Object.fromEntries(
      Array.from({ length: count }, (_, n) => [`f${n}`, FieldValue.increment(1)]),
    );
    await document.set(counters(500));
    assert.equal(Object.keys((await document.get()).data()).length, 500);
    await refused(document.set(counters(501)), code.INVALID_ARGUMENT);
  });
});

describe('names', () => {
  const create = ({ client, root }, path) => {
    const name = `${root}/${path}`;
    return client.updateDocument({ document: { name, fields: {} } });
  };

  const REFUSED = [
    ['a collection', 'c'],
    ['a collection below a document', 'c/d/e'],
    ['an empty id', 'c//e/f'],
    ['a dot', 'c/.'],
    ['two dots', 'c/..'],
    ['a reserved id', 'c/__name__'],
    ['a reserved collection', '__c__/d'],
    ['an id of 1,501 bytes', `c/${'x'.repeat(1501)}`],
    ['an id of 501 characters of three bytes', `c/${'東'.repeat(501)}`],
    ['a name over 6 KiB', Array(8).fill('x'.repeat(1000)).join('/')],
  ];
  for (const [what, path] of REFUSED) {
    test(`${what} is INVALID_ARGUMENT`, async () => {
      await refused(create(server.raw(), path), code.INVALID_ARGUMENT);
    });
  }

  const ALLOWED = ['c/__x', 'c/x__', 'c/...', 'c/_', `c/${'x'.repeat(1500)}`, 'c/__id42__'];
  for (const path of ALLOWED) {
    test(`${path.slice(0, 20)} is accepted`, async () => {
      const [document] = await create(server.raw(), path);
      assert.ok(document.name.endsWith(path));
    });
  }

  test('a hundred levels are accepted, more are INVALID_ARGUMENT', async () => {
    const raw = server.raw();
    const deep = (levels) => Array(levels).fill('c/d').join('/');
    await create(raw, deep(100));
    await refused(create(raw, deep(102)), code.INVALID_ARGUMENT);
  });

  for (const database of ['', 'projects/p', 'projects//databases/(default)']) {
    test(`the database "${database}" is INVALID_ARGUMENT`, async () => {
      const { client } = server.raw();
      await refused(client.commit({ database, writes: [] }), code.INVALID_ARGUMENT);
    });
  }
});

describe('fields', () => {
  const nested = (levels) => {
    let value = { integerValue: 1 };
    for (let n = 0; n < levels; n += 1) value = { mapValue: { fields: { a: value } } };
    return { a: value };
  };
  const text = { stringValue: 'x' };
  const REFUSED = [
    ['an array within an array', { a: { arrayValue: { values: [{ arrayValue: { values: [] } }] } } }],
    ['a reserved field name', { __a__: text }],
    ['a reserved field name within a map', { m: { mapValue: { fields: { __a__: text } } } }],
    ['an empty field name', { '': text }],
    ['a field name of 1,501 bytes', { ['x'.repeat(1501)]: text }],
    ['a value without a type', { a: {} }],
    ['a latitude over 90', { a: { geoPointValue: { latitude: 90.1, longitude: 0 } } }],
    ['a longitude below -180', { a: { geoPointValue: { latitude: 0, longitude: -180.1 } } }],
    ['a timestamp after the year 9999', { a: { timestampValue: { seconds: 253_402_300_800 } } }],
    ['a timestamp before the year 1', { a: { timestampValue: { seconds: -62_135_596_801 } } }],
    ['nanoseconds of a whole second', { a: { timestampValue: { seconds: 0, nanos: 1_000_000_000 } } }],
    ['a reference that is not a full name', { a: { referenceValue: 'c/d' } }],
    ['maps of more than 20 levels', nested(21)],
  ];
  for (const [what, fields] of REFUSED) {
    test(`${what} is INVALID_ARGUMENT`, async () => {
      const { client, root } = server.raw();
      const document = { name: `${root}/c/d`, fields };
      await refused(client.updateDocument({ document }), code.INVALID_ARGUMENT);
      await refused(client.getDocument({ name: document.name }), code.NOT_FOUND);
    });
  }

  test('maps of 19 levels are accepted', async () => {
    const { client, root } = server.raw();
    await client.updateDocument({ document: { name: `${root}/c/d`, fields: nested(19) } });
  });

  test('an array within a map within an array is accepted', async () => {
    const document = server.db().doc('c/d');
    const data = { a: [{ b: [1, [2].length] }] };
    await document.set(data);
    assert.deepEqual((await document.get()).data(), data);
  });

  const MASKS = ['', 'a..b', '.a', 'a.', '1a', 'a b', '`a', 'a`b`', 'a[0]'];
  for (const path of MASKS) {
    test(`the mask path "${path}" is INVALID_ARGUMENT`, async () => {
      const { client, root } = server.raw();
      const document = { name: `${root}/c/d`, fields: {} };
      const updateMask = { fieldPaths: [path] };
      await refused(client.updateDocument({ document, updateMask }), code.INVALID_ARGUMENT);
    });
  }
});
