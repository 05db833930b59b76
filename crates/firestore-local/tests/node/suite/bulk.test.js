// Many documents in one call: getAll, WriteBatch, BulkWriter, bundles.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { ids, refused, seed, useServer } from '../support/harness.js';
import { code, FieldValue } from '../support/sdk.js';

const server = useServer();

describe('getAll', () => {
  test('answers in the requested order, including missing and repeated names', async () => {
    const db = server.db();
    await seed(db.collection('c'), { a: { n: 1 }, b: { n: 2 } });
    const names = ['b', 'none', 'a', 'b'].map((id) => db.doc(`c/${id}`));
    const found = await db.getAll(...names);
    assert.deepEqual(found.map((document) => document.id), ['b', 'none', 'a', 'b']);
    assert.deepEqual(found.map((document) => document.get('n')), [2, undefined, 1, 2]);
    assert.equal(found[1].exists, false);
  });

  test('with a mask returns only its fields', async () => {
    const db = server.db();
    await seed(db.collection('c'), { a: { n: 1, m: { x: 1, y: 2 }, l: [1] } });
    const [found] = await db.getAll(db.doc('c/a'), { fieldMask: ['m.x', 'none'] });
    assert.deepEqual(found.data(), { m: { x: 1 } });
  });

  test('of hundreds of documents answers in order', async () => {
    const db = server.db();
    const documents = Object.fromEntries(Array.from({ length: 350 }, (_, n) => [`d${n}`, { n }]));
    await seed(db.collection('c'), documents);
    const found = await db.getAll(...Object.keys(documents).map((id) => db.doc(`c/${id}`)));
    assert.deepEqual(found.map((document) => document.get('n')), Object.values(documents).map(({ n }) => n));
  });
});

describe('WriteBatch', () => {
  test('commits all kinds of writes with one commit time', async () => {
    const db = server.db();
    await seed(db.collection('c'), { gone: {}, updated: { a: 1 } });
    const results = await db.batch()
      .set(db.doc('c/set'), { a: 1 })
      .update(db.doc('c/updated'), { b: FieldValue.increment(1) })
      .create(db.doc('c/created'), {})
      .delete(db.doc('c/gone'))
      .commit();
    assert.equal(results.length, 4);
    assert.deepEqual(await ids(db.collection('c')), ['created', 'set', 'updated']);
    const all = await db.collection('c').get();
    for (const document of all.docs) assert.ok(document.updateTime.isEqual(results[0].writeTime));
  });

  test('accepts more than 500 writes', async () => {
    const collection = server.db().collection('c');
    await seed(collection, Object.fromEntries(Array.from({ length: 700 }, (_, n) => [`d${n}`, { n }])));
    assert.equal((await collection.count().get()).data().count, 700);
  });

  test('may be empty', async () => {
    assert.deepEqual(await server.db().batch().commit(), []);
  });

  test('several writes of one document apply in order', async () => {
    const db = server.db();
    const document = db.doc('c/d');
    await db.batch()
      .set(document, { a: 1 })
      .update(document, { b: 2 })
      .set(document, { c: 3 }, { merge: true })
      .update(document, { a: FieldValue.increment(5) })
      .commit();
    assert.deepEqual((await document.get()).data(), { a: 6, b: 2, c: 3 });
  });
});

describe('BulkWriter', () => {
  test('writes many documents', async () => {
    const db = server.db();
    const writer = db.bulkWriter();
    const results = Array.from({ length: 300 }, (_, n) => writer.set(db.doc(`c/d${n}`), { n }));
    await writer.close();
    assert.ok((await Promise.all(results)).every((result) => result.writeTime));
    assert.equal((await db.collection('c').count().get()).data().count, 300);
  });

  test('a failed write does not affect the others', async () => {
    const db = server.db();
    await seed(db.collection('c'), { there: {} });
    const writer = db.bulkWriter();
    writer.onWriteError(() => false);
    const good = writer.create(db.doc('c/new'), {});
    const exists = writer.create(db.doc('c/there'), {}).catch((error) => error);
    const missing = writer.update(db.doc('c/missing'), { a: 1 }).catch((error) => error);
    const gone = writer.delete(db.doc('c/none'));
    await writer.close();
    assert.ok((await good).writeTime);
    assert.equal((await exists).code, code.ALREADY_EXISTS);
    assert.equal((await missing).code, code.NOT_FOUND);
    assert.ok(await gone);
    assert.deepEqual(await ids(db.collection('c')), ['new', 'there']);
  });

  test('flush waits until all earlier writes are applied', async () => {
    const db = server.db();
    const document = db.doc('c/d');
    const writer = db.bulkWriter();
    void writer.create(document, { n: 0 });
    await writer.flush();
    void writer.update(document, { n: FieldValue.increment(1) });
    await writer.flush();
    assert.equal((await document.get()).get('n'), 1);
    await writer.close();
  });

  test('applies transforms, merges and deletes', async () => {
    const db = server.db();
    await seed(db.collection('c'), { a: { n: 1 }, b: {} });
    const writer = db.bulkWriter();
    void writer.update(db.doc('c/a'), { n: FieldValue.increment(1) });
    void writer.set(db.doc('c/merged'), { x: 1 }, { merge: true });
    void writer.delete(db.doc('c/b'));
    await writer.close();
    assert.deepEqual(await ids(db.collection('c')), ['a', 'merged']);
    assert.equal((await db.doc('c/a').get()).get('n'), 2);
  });
});

describe('bundles', () => {
  test('contain documents and named queries', async () => {
    const db = server.db();
    await seed(db.collection('c'), { a: { n: 1 }, b: { n: 2 } });
    const bundle = db.bundle('one');
    bundle.add('all', await db.collection('c').get());
    bundle.add(await db.doc('c/missing').get());
    const text = bundle.build().toString();
    assert.match(text, /"totalDocuments":3/);
    assert.match(text, /"namedQuery"/);
  });
});

describe('databases', () => {
  test('projects are isolated', async () => {
    const [one, two] = [server.db(), server.db()];
    await one.doc('c/d').set({ of: 'one' });
    assert.equal((await two.doc('c/d').get()).exists, false);
    assert.deepEqual(await two.listCollections(), []);
  });

  test('databases of a project are isolated', async () => {
    const one = server.db();
    const two = server.db({ projectId: one.projectId, databaseId: 'second' });
    await one.doc('c/d').set({ of: 'one' });
    await two.doc('c/d').set({ of: 'two' });
    assert.equal((await one.doc('c/d').get()).get('of'), 'one');
    assert.equal((await two.doc('c/d').get()).get('of'), 'two');
    assert.equal((await two.collectionGroup('c').get()).size, 1);
  });

  test('a write to a database other than that of the request is INVALID_ARGUMENT', async () => {
    const { client, database } = server.raw();
    const name = 'projects/another/databases/(default)/documents/c/d';
    await refused(client.commit({ database, writes: [{ update: { name, fields: {} } }] }), code.INVALID_ARGUMENT);
  });
});
