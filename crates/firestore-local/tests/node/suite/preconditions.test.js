// Preconditions of writes: the status codes of failed ones, and that nothing is written.

import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';

import { refused, useServer } from '../support/harness.js';
import { code, Timestamp } from '../support/sdk.js';

const server = useServer();

describe('preconditions of the SDK', () => {
  let document;
  beforeEach(() => {
    document = server.db().doc('c/d');
  });

  test('update with the current update time succeeds', async () => {
    const { writeTime } = await document.set({ a: 1 });
    await document.update({ a: 2 }, { lastUpdateTime: writeTime });
    assert.equal((await document.get()).get('a'), 2);
  });

  test('update with a stale update time is FAILED_PRECONDITION', async () => {
    const { writeTime } = await document.set({ a: 1 });
    await document.set({ a: 2 });
    const update = document.update({ a: 3 }, { lastUpdateTime: writeTime });
    await refused(update, code.FAILED_PRECONDITION);
    assert.equal((await document.get()).get('a'), 2);
  });

  test('delete with the current update time succeeds', async () => {
    const { writeTime } = await document.set({ a: 1 });
    await document.delete({ lastUpdateTime: writeTime });
    assert.equal((await document.get()).exists, false);
  });

  test('delete with a stale update time is FAILED_PRECONDITION', async () => {
    const { writeTime } = await document.set({ a: 1 });
    await document.set({ a: 2 });
    const removal = document.delete({ lastUpdateTime: writeTime });
    await refused(removal, code.FAILED_PRECONDITION);
    assert.equal((await document.get()).exists, true);
  });

  test('delete that requires a missing document to exist is NOT_FOUND', async () => {
    await refused(document.delete({ exists: true }), code.NOT_FOUND);
  });

  test('delete that requires an existing document to exist succeeds', async () => {
    await document.set({});
    await document.delete({ exists: true });
    assert.equal((await document.get()).exists, false);
  });

  test('one failed precondition fails the whole batch', async () => {
    const db = document.firestore;
    const batch = db.batch();
    batch.set(db.doc('c/other'), { a: 1 });
    batch.update(document, { a: 1 });
    await refused(batch.commit(), code.NOT_FOUND);
    assert.equal((await db.doc('c/other').get()).exists, false);
  });

  test('the writes of a batch see the previous ones', async () => {
    const batch = document.firestore.batch();
    batch.create(document, { a: 1 });
    batch.update(document, { b: 2 });
    batch.delete(document, { exists: true });
    batch.create(document, { c: 3 });
    await batch.commit();
    assert.deepEqual((await document.get()).data(), { c: 3 });
  });

  test('a batch that creates a document twice is ALREADY_EXISTS', async () => {
    const batch = document.firestore.batch();
    batch.create(document, { a: 1 });
    batch.create(document, { a: 2 });
    await refused(batch.commit(), code.ALREADY_EXISTS);
    assert.equal((await document.get()).exists, false);
  });
});

describe('preconditions of the Commit RPC', () => {
  const NOW = { seconds: 1, nanos: 0 };
  const write = (name, currentDocument) => ({ update: { name, fields: {} }, currentDocument });
  const removal = (name, currentDocument) => ({ delete: name, currentDocument });

  const CASES = [
    ['write, exists: false, on an existing document', write, true, { exists: false }, [code.ALREADY_EXISTS]],
    ['write, exists: true, on a missing document', write, false, { exists: true }, [code.NOT_FOUND]],
    ['write, another update time, on an existing document', write, true, { updateTime: NOW }, [code.FAILED_PRECONDITION]],
    ['write, an update time, on a missing document', write, false, { updateTime: NOW }, [code.NOT_FOUND, code.FAILED_PRECONDITION]],
    ['delete, another update time, on an existing document', removal, true, { updateTime: NOW }, [code.FAILED_PRECONDITION]],
    ['delete, an update time, on a missing document', removal, false, { updateTime: NOW }, [code.NOT_FOUND, code.FAILED_PRECONDITION]],
    ['delete, exists: true, on a missing document', removal, false, { exists: true }, [code.NOT_FOUND]],
  ];
  for (const [name, build, exists, precondition, codes] of CASES) {
    test(`${name} is ${codes.map((one) => code[one]).join(' or ')}`, async () => {
      const { client, database, root } = server.raw();
      const document = `${root}/c/d`;
      if (exists) await client.commit({ database, writes: [write(document)] });
      const error = await client
        .commit({ database, writes: [build(document, precondition)] })
        .then(() => assert.fail('the write succeeded'), (failure) => failure);
      assert.ok(codes.includes(error.code), error.stack);
    });
  }

  const ALLOWED = [
    ['write, exists: false, on a missing document', write, false, { exists: false }],
    ['write, exists: true, on an existing document', write, true, { exists: true }],
    ['delete, exists: false, on a missing document', removal, false, { exists: false }],
  ];
  for (const [name, build, exists, precondition] of ALLOWED) {
    test(`${name} succeeds`, async () => {
      const { client, database, root } = server.raw();
      const document = `${root}/c/d`;
      if (exists) await client.commit({ database, writes: [write(document)] });
      const [response] = await client.commit({ database, writes: [build(document, precondition)] });
      assert.equal(response.writeResults.length, 1);
    });
  }

  test('a delete returns no update time', async () => {
    const { client, database, root } = server.raw();
    const [response] = await client.commit({ database, writes: [removal(`${root}/c/d`)] });
    assert.equal(response.writeResults[0].updateTime, null);
    assert.ok(Timestamp.fromMillis(0).seconds < Number(response.commitTime.seconds));
  });
});
