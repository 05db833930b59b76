// onSnapshot delivers a first snapshot and then every change, in the order of the query.

import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';

import { ids, seed, useServer } from '../support/harness.js';
import { changes, watch } from '../support/watch.js';

const server = useServer();

describe('listening to a document', () => {
  let document;
  beforeEach(() => {
    document = server.db().doc('c/d');
  });

  test('a missing document is reported as missing', async () => {
    const listener = watch(document);
    const first = await listener.next();
    listener.stop();
    assert.equal(first.exists, false);
    assert.ok(first.readTime);
  });

  test('the creation, update and deletion of the document are reported', async () => {
    const listener = watch(document);
    assert.equal((await listener.next()).exists, false);
    await document.set({ n: 1 });
    assert.deepEqual((await listener.next()).data(), { n: 1 });
    const { writeTime } = await document.update({ n: 2 });
    const changed = await listener.next();
    assert.deepEqual(changed.data(), { n: 2 });
    assert.ok(changed.updateTime.isEqual(writeTime));
    await document.delete();
    assert.equal((await listener.next()).exists, false);
    listener.stop();
  });

  test('changes of other documents are not reported', async () => {
    await document.set({ n: 1 });
    const listener = watch(document);
    await listener.next();
    await document.parent.doc('other').set({ n: 1 });
    await document.collection('sub').doc('s').set({ n: 1 });
    await document.set({ n: 2 });
    assert.deepEqual((await listener.next()).data(), { n: 2 });
    assert.equal(listener.pending(), 0);
    listener.stop();
  });

  test('a document that is deleted and written again is reported', async () => {
    await document.set({ n: 1 });
    const listener = watch(document);
    await listener.next();
    await document.delete();
    await listener.until((snapshot) => !snapshot.exists);
    await document.set({ n: 1 });
    assert.deepEqual((await listener.next()).data(), { n: 1 });
    listener.stop();
  });
});

describe('listening to a query', () => {
  let collection;
  beforeEach(async () => {
    collection = server.db().collection('c');
    await seed(collection, { a: { n: 1 }, b: { n: 2 }, c: { n: 3 } });
  });

  test('the first snapshot reports all matches as added', async () => {
    const listener = watch(collection.orderBy('n', 'desc'));
    const first = await listener.next();
    listener.stop();
    assert.deepEqual(first.docs.map((document) => document.id), ['c', 'b', 'a']);
    assert.deepEqual(changes(first), ['added c@-1>0', 'added b@-1>1', 'added a@-1>2']);
  });

  test('an empty result is reported', async () => {
    const listener = watch(collection.where('n', '>', 10));
    const first = await listener.next();
    listener.stop();
    assert.equal(first.empty, true);
    assert.deepEqual(changes(first), []);
  });

  test('additions, changes and removals are reported with their indexes', async () => {
    const listener = watch(collection.orderBy('n'));
    await listener.next();
    await collection.doc('d').set({ n: 2.5 });
    assert.deepEqual(changes(await listener.next()), ['added d@-1>2']);
    await collection.doc('a').update({ n: 9 });
    assert.deepEqual(changes(await listener.next()), ['modified a@0>3']);
    await collection.doc('b').update({ other: true });
    assert.deepEqual(changes(await listener.next()), ['modified b@0>0']);
    await collection.doc('c').delete();
    assert.deepEqual(changes(await listener.next()), ['removed c@2>-1']);
    listener.stop();
  });

  test('documents that start or stop matching a filter are added or removed', async () => {
    const listener = watch(collection.where('n', '>=', 2).orderBy('n'));
    await listener.next();
    await collection.doc('a').update({ n: 5 });
    assert.deepEqual(changes(await listener.next()), ['added a@-1>2']);
    await collection.doc('b').update({ n: 0 });
    assert.deepEqual(changes(await listener.next()), ['removed b@0>-1']);
    listener.stop();
  });

  test('a change that affects no match is not reported', async () => {
    const listener = watch(collection.where('n', '>=', 2).orderBy('n'));
    await listener.next();
    await collection.doc('x').set({ n: 0 });
    await collection.doc('y').set({ n: 7 });
    assert.deepEqual(changes(await listener.next()), ['added y@-1>2']);
    listener.stop();
  });

  test('a batch is reported as one snapshot', async () => {
    const listener = watch(collection.orderBy('n'));
    await listener.next();
    const batch = collection.firestore.batch();
    batch.delete(collection.doc('a'));
    batch.update(collection.doc('b'), { n: 20 });
    batch.set(collection.doc('d'), { n: 10 });
    await batch.commit();
    const snapshot = await listener.next();
    assert.deepEqual(snapshot.docs.map((document) => document.id), ['c', 'd', 'b']);
    assert.equal(snapshot.docChanges().length, 3);
    listener.stop();
  });

  test('a limited query adds the next document when one is removed', async () => {
    const listener = watch(collection.orderBy('n').limit(2));
    await listener.next();
    await collection.doc('a').delete();
    const snapshot = await listener.until((current) => current.size === 2);
    assert.deepEqual(snapshot.docs.map((document) => document.id), ['b', 'c']);
    listener.stop();
  });

  test('a limited query removes the last document when one is added', async () => {
    const listener = watch(collection.orderBy('n').limit(2));
    await listener.next();
    await collection.doc('first').set({ n: 0 });
    const snapshot = await listener.next();
    assert.deepEqual(snapshot.docs.map((document) => document.id), ['first', 'a']);
    listener.stop();
  });

  test('limitToLast reports the last documents', async () => {
    const listener = watch(collection.orderBy('n').limitToLast(2));
    const first = await listener.next();
    assert.deepEqual(first.docs.map((document) => document.id), ['b', 'c']);
    await collection.doc('last').set({ n: 100 });
    const snapshot = await listener.next();
    assert.deepEqual(snapshot.docs.map((document) => document.id), ['c', 'last']);
    listener.stop();
  });

  test('a collection group reports documents at all levels', async () => {
    const db = collection.firestore;
    const listener = watch(db.collectionGroup('sub'));
    assert.equal((await listener.next()).size, 0);
    await db.doc('c/a/sub/x').set({ n: 1 });
    assert.deepEqual(changes(await listener.next()), ['added x@-1>0']);
    await db.doc('sub/y').set({ n: 1 });
    assert.equal((await listener.next()).size, 2);
    listener.stop();
  });

  test('several listeners of one client are independent', async () => {
    const listeners = [watch(collection), watch(collection.orderBy('n')), watch(collection.doc('a'))];
    for (const listener of listeners) await listener.next();
    await collection.doc('a').update({ n: 0 });
    for (const listener of listeners) await listener.next();
    for (const listener of listeners) listener.stop();
    await collection.doc('a').update({ n: 1 });
    for (const listener of listeners) assert.equal(listener.pending(), 0);
  });

  test('changes by transactions and bulk writers are reported', async () => {
    const db = collection.firestore;
    const listener = watch(collection.orderBy('n'));
    await listener.next();
    await db.runTransaction(async (transaction) => {
      const read = await transaction.get(collection.doc('a'));
      transaction.update(read.ref, { n: read.get('n') + 10 });
    });
    assert.deepEqual(changes(await listener.next()), ['modified a@0>2']);
    const writer = db.bulkWriter();
    void writer.set(collection.doc('z'), { n: 99 });
    await writer.close();
    assert.deepEqual(changes(await listener.next()), ['added z@-1>3']);
    listener.stop();
  });

  test('after a burst of writes the listener has the state of the store', async () => {
    const listener = watch(collection.orderBy('n'));
    await listener.next();
    const writes = Array.from({ length: 50 }, (_, n) => collection.doc(`w${n % 10}`).set({ n: 100 + n }));
    await Promise.all(writes);
    const expected = await ids(collection.orderBy('n'));
    const seen = (snapshot) => snapshot.docs.map((document) => document.id);
    await listener.until((snapshot) => seen(snapshot).join() === expected.join());
    listener.stop();
  });
});
