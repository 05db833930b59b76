// Set, create, update and delete.

import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';

import { refused, useServer } from '../support/harness.js';
import { code, FieldPath, FieldValue } from '../support/sdk.js';

const server = useServer();

describe('writes', () => {
  let document;
  beforeEach(() => {
    document = server.db().doc('c/d');
  });

  const data = async () => (await document.get()).data();

  test('set replaces the document', async () => {
    await document.set({ a: 1, b: 2 });
    await document.set({ b: 3 });
    assert.deepEqual(await data(), { b: 3 });
  });

  const ORIGINAL = { a: 1, m: { x: 1, y: { z: 1 } }, list: [1, 2], 'a.b': 'dotted' };
  const CHANGES = [
    ['set with merge adds and overwrites leaves', (d) => d.set({ a: 2, m: { y: { w: 2 } } }, { merge: true }),
      { ...ORIGINAL, a: 2, m: { x: 1, y: { z: 1, w: 2 } } }],
    ['set with merge replaces whole arrays', (d) => d.set({ list: [3] }, { merge: true }),
      { ...ORIGINAL, list: [3] }],
    ['set with merge and an empty map clears that map', (d) => d.set({ m: {} }, { merge: true }),
      { ...ORIGINAL, m: {} }],
    ['set with merge and without fields changes nothing', (d) => d.set({}, { merge: true }), ORIGINAL],
    ['set with merge deletes a field', (d) => d.set({ m: { x: FieldValue.delete() } }, { merge: true }),
      { ...ORIGINAL, m: { y: { z: 1 } } }],
    ['mergeFields changes only the listed fields', (d) => d.set({ a: 9, list: [9] }, { mergeFields: ['a'] }),
      { ...ORIGINAL, a: 9 }],
    ['mergeFields changes fields of maps', (d) => d.set({ m: { x: 5, y: 6 } }, { mergeFields: ['m.x'] }),
      { ...ORIGINAL, m: { x: 5, y: { z: 1 } } }],
    ['mergeFields with a map replaces the map', (d) => d.set({ m: { n: 1 } }, { mergeFields: ['m'] }),
      { ...ORIGINAL, m: { n: 1 } }],
    ['update replaces a whole map', (d) => d.update({ m: { n: 1 } }), { ...ORIGINAL, m: { n: 1 } }],
    ['update with a dotted path changes a field of a map', (d) => d.update({ 'm.y.z': 7 }),
      { ...ORIGINAL, m: { x: 1, y: { z: 7 } } }],
    ['update with a dotted path creates missing maps', (d) => d.update({ 'n.o.p': 1 }),
      { ...ORIGINAL, n: { o: { p: 1 } } }],
    ['update of a path through a scalar replaces it by a map', (d) => d.update({ 'a.b': 1 }),
      { ...ORIGINAL, a: { b: 1 } }],
    ['update with a field path changes a field whose name has a dot', (d) => d.update(new FieldPath('a.b'), 'new'),
      { ...ORIGINAL, 'a.b': 'new' }],
    ['update deletes a field', (d) => d.update({ a: FieldValue.delete() }),
      { m: ORIGINAL.m, list: ORIGINAL.list, 'a.b': 'dotted' }],
    ['update deletes a nested field', (d) => d.update({ 'm.y.z': FieldValue.delete() }),
      { ...ORIGINAL, m: { x: 1, y: {} } }],
    ['update that deletes a missing field changes nothing', (d) => d.update({ 'q.r': FieldValue.delete() }), ORIGINAL],
    ['update accepts pairs of path and value', (d) => d.update('a', 2, new FieldPath('m', 'x'), 3),
      { ...ORIGINAL, a: 2, m: { x: 3, y: { z: 1 } } }],
  ];
  for (const [name, change, expected] of CHANGES) {
    test(name, async () => {
      await document.set(ORIGINAL);
      await change(document);
      assert.deepEqual(await data(), expected);
    });
  }

  test('set with merge creates the document', async () => {
    await document.set({ a: { b: 1 } }, { merge: true });
    assert.deepEqual(await data(), { a: { b: 1 } });
  });

  test('set with merge and without fields creates an empty document', async () => {
    await document.set({}, { merge: true });
    assert.deepEqual(await data(), {});
  });

  test('add generates an id', async () => {
    const added = await document.parent.add({ a: 1 });
    assert.match(added.id, /^[A-Za-z0-9]{20}$/);
    assert.deepEqual((await added.get()).data(), { a: 1 });
  });

  test('delete removes the document and keeps its subcollections', async () => {
    await document.set({ a: 1 });
    await document.collection('sub').doc('s').set({ b: 1 });
    await document.delete();
    assert.equal((await document.get()).exists, false);
    assert.equal((await document.collection('sub').get()).size, 1);
  });

  test('delete of a missing document succeeds', async () => {
    const result = await document.delete();
    assert.ok(result.writeTime);
    assert.equal((await document.get()).exists, false);
  });

  test('update of a missing document is NOT_FOUND', async () => {
    await refused(document.update({ a: 1 }), code.NOT_FOUND, /No document to update/);
    assert.equal((await document.get()).exists, false);
  });

  test('create of an existing document is ALREADY_EXISTS', async () => {
    await document.create({ a: 1 });
    await refused(document.create({ a: 2 }), code.ALREADY_EXISTS, /already exists/i);
    assert.deepEqual(await data(), { a: 1 });
  });

  test('create and update times are those of the first and the last write', async () => {
    const first = await document.set({ a: 1 });
    const second = await document.set({ a: 2 });
    const snapshot = await document.get();
    assert.ok(snapshot.createTime.isEqual(first.writeTime));
    assert.ok(snapshot.updateTime.isEqual(second.writeTime));
    assert.ok(first.writeTime.valueOf() < second.writeTime.valueOf());
    assert.ok(snapshot.readTime.valueOf() >= second.writeTime.valueOf());
  });

  test('a write that changes nothing keeps the update time', async () => {
    const first = await document.set({ a: 1 });
    const again = await document.set({ a: 1 });
    assert.ok(again.writeTime.isEqual(first.writeTime));
    assert.ok((await document.get()).updateTime.isEqual(first.writeTime));
  });

  test('a document created again has a new create time', async () => {
    const first = await document.set({ a: 1 });
    await document.delete();
    const second = await document.set({ a: 1 });
    assert.ok((await document.get()).createTime.isEqual(second.writeTime));
    assert.ok(second.writeTime.valueOf() > first.writeTime.valueOf());
  });
});
