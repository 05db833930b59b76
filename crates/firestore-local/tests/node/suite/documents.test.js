// The RPCs for single documents, which the SDK never calls, through the generated client.

import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';

import { refused, useServer } from '../support/harness.js';
import { code } from '../support/sdk.js';

const server = useServer();
const integer = (value) => ({ integerValue: String(value) });
const fields = (values) => Object.fromEntries(
  Object.entries(values).map(([name, value]) => [name, integer(value)]),
);
const plain = (document) => Object.fromEntries(
  Object.entries(document.fields).map(([name, value]) => [name, Number(value.integerValue)]),
);

describe('document RPCs', () => {
  let client;
  let parent;
  let name;
  beforeEach(() => {
    const raw = server.raw();
    client = raw.client;
    parent = raw.root;
    name = `${parent}/c/d`;
  });

  const create = (values, documentId = 'd') => client.createDocument({
    parent, collectionId: 'c', documentId, document: { fields: fields(values) },
  });
  const update = (values, rest = {}) => client.updateDocument({
    document: { name, fields: fields(values) }, ...rest,
  });
  const mask = (...fieldPaths) => ({ fieldPaths });

  test('CreateDocument returns the document with its times', async () => {
    const [document] = await create({ a: 1 });
    assert.equal(document.name, name);
    assert.deepEqual(plain(document), { a: 1 });
    assert.deepEqual(document.createTime, document.updateTime);
    assert.ok(Number(document.createTime.seconds) > 1_700_000_000);
  });

  test('CreateDocument without an id generates one of twenty letters and digits', async () => {
    const [document] = await create({ a: 1 }, '');
    assert.match(document.name.split('/').at(-1), /^[A-Za-z0-9]{20}$/);
    const [read] = await client.getDocument({ name: document.name });
    assert.deepEqual(plain(read), { a: 1 });
  });

  test('CreateDocument of an existing name is ALREADY_EXISTS', async () => {
    await create({ a: 1 });
    await refused(create({ a: 2 }), code.ALREADY_EXISTS);
  });

  test('CreateDocument returns only the fields of its mask', async () => {
    const request = { parent, collectionId: 'c', documentId: 'd', document: { fields: fields({ a: 1, b: 2 }) } };
    const [document] = await client.createDocument({ ...request, mask: mask('b') });
    assert.deepEqual(plain(document), { b: 2 });
    const [read] = await client.getDocument({ name });
    assert.deepEqual(plain(read), { a: 1, b: 2 });
  });

  test('CreateDocument creates a document below another', async () => {
    const [document] = await client.createDocument({
      parent: name, collectionId: 'sub', documentId: 's', document: { fields: {} },
    });
    assert.equal(document.name, `${name}/sub/s`);
  });

  test('GetDocument of a missing document is NOT_FOUND', async () => {
    await refused(client.getDocument({ name }), code.NOT_FOUND, /not found/i);
  });

  test('GetDocument returns only the fields of its mask', async () => {
    await create({ a: 1, b: 2, 'c d': 3 });
    const [document] = await client.getDocument({ name, mask: mask('a', '`c d`', 'none') });
    assert.deepEqual(plain(document), { a: 1, 'c d': 3 });
  });

  test('UpdateDocument without a mask creates or replaces the document', async () => {
    const [created] = await update({ a: 1 });
    const [updated] = await update({ b: 2 });
    assert.deepEqual(plain(updated), { b: 2 });
    assert.deepEqual(updated.createTime, created.createTime);
    assert.notDeepEqual(updated.updateTime, created.updateTime);
  });

  test('UpdateDocument with a mask sets fields with a value and removes those without', async () => {
    await create({ a: 1, b: 2, c: 3 });
    const [document] = await update({ a: 10, c: 30 }, { updateMask: mask('a', 'b') });
    assert.deepEqual(plain(document), { a: 10, c: 3 });
  });

  test('UpdateDocument with a mask creates a missing document', async () => {
    const [document] = await update({ a: 1, b: 2 }, { updateMask: mask('a') });
    assert.deepEqual(plain(document), { a: 1 });
  });

  test('UpdateDocument returns only the fields of its response mask', async () => {
    const [document] = await update({ a: 1, b: 2 }, { mask: mask('a') });
    assert.deepEqual(plain(document), { a: 1 });
  });

  test('UpdateDocument of a missing document that must exist is NOT_FOUND', async () => {
    await refused(update({ a: 1 }, { currentDocument: { exists: true } }), code.NOT_FOUND);
  });

  test('UpdateDocument with a stale update time is FAILED_PRECONDITION', async () => {
    const [{ updateTime }] = await create({ a: 1 });
    await update({ a: 2 });
    await refused(update({ a: 3 }, { currentDocument: { updateTime } }), code.FAILED_PRECONDITION);
  });

  test('DeleteDocument succeeds, also for a missing document', async () => {
    await create({ a: 1 });
    await client.deleteDocument({ name });
    await refused(client.getDocument({ name }), code.NOT_FOUND);
    await client.deleteDocument({ name });
  });

  test('DeleteDocument of a missing document that must exist is NOT_FOUND', async () => {
    await refused(client.deleteDocument({ name, currentDocument: { exists: true } }), code.NOT_FOUND);
  });

  test('DeleteDocument with a stale update time is FAILED_PRECONDITION', async () => {
    const [{ updateTime }] = await create({ a: 1 });
    await update({ a: 2 });
    await refused(client.deleteDocument({ name, currentDocument: { updateTime } }), code.FAILED_PRECONDITION);
  });
});

describe('listing RPCs', () => {
  let client;
  let parent;
  beforeEach(async () => {
    const raw = server.raw();
    client = raw.client;
    parent = raw.root;
    const write = (path, n) => ({ update: { name: `${parent}/${path}`, fields: fields({ n, m: 0 }) } });
    const writes = [write('c/a', 3), write('c/b', 1), write('c/c', 2), write('c/gone/sub/s', 0), write('b/x', 0)];
    await client.commit({ database: raw.database, writes });
  });

  const list = async (request) => {
    const [documents] = await client.listDocuments({ parent, collectionId: 'c', ...request });
    return documents.map((document) => document.name.split('/').at(-1)).join(' ');
  };

  const LISTINGS = [
    ['by name', {}, 'a b c'],
    ['by a field', { orderBy: 'n' }, 'b c a'],
    ['by a field, descending', { orderBy: 'n desc' }, 'a c b'],
    ['by two orders', { orderBy: 'm, n desc' }, 'a c b'],
    ['with missing parents', { showMissing: true, mask: { fieldPaths: [] } }, 'a b c gone'],
    ['of another collection', { collectionId: 'b' }, 'x'],
    ['of a missing collection', { collectionId: 'none' }, ''],
  ];
  for (const [name, request, expected] of LISTINGS) {
    test(`ListDocuments ${name}`, async () => {
      assert.equal(await list(request), expected);
    });
    test(`ListDocuments ${name}, in pages of two`, async () => {
      assert.equal(await list({ ...request, pageSize: 2 }), expected);
    });
  }

  test('a page has at most the requested size, and a token for the next page', async () => {
    const request = { parent, collectionId: 'c', pageSize: 2 };
    const [page, , response] = await client.listDocuments(request, { autoPaginate: false });
    assert.equal(page.length, 2);
    assert.notEqual(response.nextPageToken, '');
    const rest = { ...request, pageToken: response.nextPageToken };
    const [last, , end] = await client.listDocuments(rest, { autoPaginate: false });
    assert.equal(last.length, 1);
    assert.equal(end.nextPageToken, '');
  });

  test('a missing parent has a name but no times', async () => {
    const [documents] = await client.listDocuments({ parent, collectionId: 'c', showMissing: true });
    const gone = documents.at(-1);
    assert.deepEqual([gone.createTime, gone.updateTime, gone.fields], [null, null, {}]);
    assert.notEqual(documents[0].createTime, null);
  });

  test('a mask limits the fields of the documents', async () => {
    const [documents] = await client.listDocuments({ parent, collectionId: 'c', mask: { fieldPaths: ['n'] } });
    assert.deepEqual(documents.map(plain), [{ n: 3 }, { n: 1 }, { n: 2 }]);
  });

  test('showMissing with an order is INVALID_ARGUMENT', async () => {
    await refused(list({ showMissing: true, orderBy: 'n' }), code.INVALID_ARGUMENT);
  });

  test('ListCollectionIds returns pages', async () => {
    const options = { autoPaginate: false };
    const [first, , response] = await client.listCollectionIds({ parent, pageSize: 1 }, options);
    assert.deepEqual(first, ['b']);
    const pageToken = response.nextPageToken;
    const [second, , end] = await client.listCollectionIds({ parent, pageSize: 1, pageToken }, options);
    assert.deepEqual(second, ['c']);
    assert.equal(end.nextPageToken, '');
    const [below] = await client.listCollectionIds({ parent: `${parent}/c/gone` });
    assert.deepEqual(below, ['sub']);
  });
});
