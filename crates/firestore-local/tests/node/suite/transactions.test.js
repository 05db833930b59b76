// Transactions are atomic and serializable.
//
// Reads take locks, and writes wait for them. Of two transactions in a deadlock one is refused with
// ABORTED, but it may be either.

import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';

import { collect, ids, refused, seed, useServer } from '../support/harness.js';
import { code, FieldValue, Timestamp } from '../support/sdk.js';

const server = useServer();

describe('transactions of the SDK', () => {
  let db;
  let counter;
  beforeEach(async () => {
    db = server.db();
    counter = db.doc('c/counter');
    await counter.set({ n: 0 });
  });

  const increment = async (transaction) => {
    const read = await transaction.get(counter);
    transaction.update(counter, { n: read.get('n') + 1 });
  };

  test('twenty concurrent increments are all counted', async () => {
    const attempts = { maxAttempts: 50 };
    await Promise.all(Array.from({ length: 20 }, () => db.runTransaction(increment, attempts)));
    assert.equal((await counter.get()).get('n'), 20);
  });

  test('every reader sees the same sum during transfers', async () => {
    const [a, b] = [db.doc('c/a'), db.doc('c/b')];
    await Promise.all([a.set({ n: 100 }), b.set({ n: 0 })]);
    const move = (from, to) => db.runTransaction(async (transaction) => {
      const [source, target] = await transaction.getAll(from, to);
      transaction.update(from, { n: source.get('n') - 1 });
      transaction.update(to, { n: target.get('n') + 1 });
    }, { maxAttempts: 50 });
    const observe = () => db.runTransaction(async (transaction) => {
      const both = await transaction.getAll(a, b);
      return both[0].get('n') + both[1].get('n');
    }, { readOnly: true });
    const work = Array.from({ length: 12 }, (_, n) => (n % 4 ? move(a, b) : move(b, a)));
    const sums = await Promise.all([...Array.from({ length: 8 }, observe), ...work]);
    assert.deepEqual(sums.slice(0, 8), Array(8).fill(100));
    const [left, right] = await db.getAll(a, b);
    assert.deepEqual([left.get('n'), right.get('n')], [94, 6]);
  });

  test('two transactions that conflict once both commit without long delays', async () => {
    let first;
    const both = new Promise((resolve) => { first = resolve; });
    const began = Date.now();
    const add = (wait) => db.runTransaction(async (transaction) => {
      const read = await transaction.get(counter);
      await wait();
      transaction.update(counter, { n: read.get('n') + 1 });
    });
    let arrived = 0;
    const together = () => {
      arrived += 1;
      if (arrived === 2) first();
      return both;
    };
    await Promise.all([add(together), add(together)]);
    assert.equal((await counter.get()).get('n'), 2);
    assert.ok(Date.now() - began < 3000, `${Date.now() - began} ms`);
  });

  test('runTransaction returns the result of its function', async () => {
    assert.equal(await db.runTransaction(async () => 'done'), 'done');
  });

  test('an error in the function discards its writes', async () => {
    const failing = db.runTransaction(async (transaction) => {
      await increment(transaction);
      throw new Error('failed on purpose');
    });
    await assert.rejects(failing, /failed on purpose/);
    assert.equal((await counter.get()).get('n'), 0);
  });

  test('the writes of a transaction are visible once it commits', async () => {
    await db.runTransaction(async (transaction) => {
      await increment(transaction);
      transaction.set(db.doc('c/other'), {});
      assert.equal((await db.doc('c/other').get()).exists, false);
    });
    assert.equal((await db.doc('c/other').get()).exists, true);
  });

  test('create of an existing document fails the transaction without a retry', async () => {
    let attempts = 0;
    const failing = db.runTransaction(async (transaction) => {
      attempts += 1;
      transaction.set(db.doc('c/other'), {});
      transaction.create(counter, {});
    });
    await refused(failing, code.ALREADY_EXISTS);
    assert.equal(attempts, 1);
    assert.equal((await db.doc('c/other').get()).exists, false);
  });

  test('after a conflict the function runs again on the current state', async () => {
    let attempts = 0;
    let outside;
    await db.runTransaction(async (transaction) => {
      attempts += 1;
      const read = await transaction.get(counter);
      // Not awaited: with locks, this write waits for the transaction.
      if (attempts === 1) outside = counter.update({ n: FieldValue.increment(100) });
      transaction.update(counter, { n: read.get('n') + 1 });
    });
    await outside;
    assert.equal((await counter.get()).get('n'), 101);
  });

  test('all kinds of writes commit together', async () => {
    await seed(db.collection('c'), { gone: {}, merged: { a: 1 }, updated: { a: 1, m: { x: 1 } } });
    await db.runTransaction(async (transaction) => {
      transaction
        .set(db.doc('c/set'), { at: FieldValue.serverTimestamp() })
        .set(db.doc('c/merged'), { b: 2 }, { merge: true })
        .update(db.doc('c/updated'), { 'm.x': FieldValue.increment(1) })
        .create(db.doc('c/created'), {})
        .delete(db.doc('c/gone'));
    });
    const all = await db.collection('c').get();
    const data = Object.fromEntries(all.docs.map((document) => [document.id, document.data()]));
    assert.deepEqual(Object.keys(data), ['counter', 'created', 'merged', 'set', 'updated']);
    assert.deepEqual(data.merged, { a: 1, b: 2 });
    assert.deepEqual(data.updated, { a: 1, m: { x: 2 } });
    assert.ok(data.set.at instanceof Timestamp);
  });

  test('queries run within the transaction', async () => {
    await seed(db.collection('q'), { a: { n: 1 }, b: { n: 2 } });
    const found = await db.runTransaction(async (transaction) => {
      const snapshot = await transaction.get(db.collection('q').where('n', '>', 1));
      for (const document of snapshot.docs) transaction.delete(document.ref);
      return snapshot.size;
    });
    assert.equal(found, 1);
    assert.deepEqual(await ids(db.collection('q')), ['a']);
  });

  test('getAll answers in the requested order, including missing documents', async () => {
    const found = await db.runTransaction((transaction) => (
      transaction.getAll(db.doc('c/none'), counter, { fieldMask: ['n'] })
    ));
    assert.deepEqual(found.map((document) => document.exists), [false, true]);
  });

  test('a read-only transaction sees one state', async () => {
    await db.runTransaction(async (transaction) => {
      const first = await transaction.get(counter);
      await counter.update({ n: 5 });
      await db.doc('c/new').set({});
      const second = await transaction.get(counter);
      assert.equal(first.get('n'), second.get('n'));
      const listed = await transaction.get(db.collection('c'));
      assert.deepEqual(listed.docs.map((document) => document.id), ['counter']);
    }, { readOnly: true });
  });

  test('a read-only transaction with a read time sees the state of that time', async () => {
    const { readTime } = await counter.get();
    await counter.update({ n: 7 });
    await db.doc('c/later').set({});
    await db.runTransaction(async (transaction) => {
      assert.equal((await transaction.get(counter)).get('n'), 0);
      assert.equal((await transaction.get(db.doc('c/later'))).exists, false);
      const counted = await transaction.get(db.collection('c').count());
      assert.equal(counted.data().count, 1);
      const listed = await transaction.get(db.collection('c').orderBy('n'));
      assert.equal(listed.docs[0].get('n'), 0);
    }, { readOnly: true, readTime });
  });
});

describe('transaction RPCs', () => {
  let client;
  let database;
  let name;
  let parent;
  beforeEach(async () => {
    let root;
    ({ client, database, root } = server.raw());
    parent = root;
    name = `${root}/c/d`;
    await client.commit({ database, writes: [write(name, 0)] });
  });

  const write = (document, n) => ({ update: { name: document, fields: { n: { integerValue: n } } } });
  const begin = async (options) => (await client.beginTransaction({ database, options }))[0].transaction;
  const value = async () => (await client.getDocument({ name }))[0].fields.n.integerValue;
  const commit = (transaction, ...writes) => client.commit({ database, transaction, writes });

  /** Runs commits concurrently; returns how many succeeded. The others must be ABORTED. */
  const race = async (commits) => {
    const outcomes = await Promise.allSettled(commits);
    for (const { reason } of outcomes.filter((outcome) => outcome.status === 'rejected')) {
      assert.equal(code[reason.code], 'ABORTED', reason.stack);
    }
    return outcomes.filter((outcome) => outcome.status === 'fulfilled').length;
  };

  test('of two transactions that read and write the same document one is ABORTED', async () => {
    const transactions = [await begin(), await begin()];
    for (const transaction of transactions) await client.getDocument({ name, transaction });
    const succeeded = await race(transactions.map((one, n) => commit(one, write(name, n + 1))));
    assert.equal(succeeded, 1);
  });

  test('write skew: of two transactions that read two documents and write one each, one is ABORTED', async () => {
    const other = `${parent}/c/e`;
    await client.commit({ database, writes: [write(other, 0)] });
    const transactions = [await begin(), await begin()];
    for (const transaction of transactions) {
      await collect(client.batchGetDocuments({ database, documents: [name, other], transaction }));
    }
    const succeeded = await race([
      commit(transactions[0], write(name, 1)),
      commit(transactions[1], write(other, 1)),
    ]);
    assert.equal(succeeded, 1);
  });

  test('phantoms: of two transactions that run a query and add to its result, one is ABORTED', async () => {
    const structuredQuery = {
      from: [{ collectionId: 'p' }],
      where: { fieldFilter: { field: { fieldPath: 'n' }, op: 'EQUAL', value: { integerValue: 1 } } },
    };
    const transactions = [await begin(), await begin()];
    for (const transaction of transactions) {
      await collect(client.runQuery({ parent, structuredQuery, transaction }));
    }
    const succeeded = await race(transactions.map((one, n) => commit(one, write(`${parent}/p/${n}`, 1))));
    assert.equal(succeeded, 1);
  });

  test('of two transactions that read a missing document and create it one is ABORTED', async () => {
    const missing = `${parent}/c/missing`;
    const transactions = [await begin(), await begin()];
    for (const transaction of transactions) {
      await collect(client.batchGetDocuments({ database, documents: [missing], transaction }));
    }
    const succeeded = await race(transactions.map((one, n) => commit(one, write(missing, n))));
    assert.equal(succeeded, 1);
  });

  test('two transactions on different documents both commit', async () => {
    const transactions = [await begin(), await begin()];
    const names = [name, `${parent}/c/e`];
    for (const [n, transaction] of transactions.entries()) {
      await collect(client.batchGetDocuments({ database, documents: [names[n]], transaction }));
    }
    assert.equal(await race(transactions.map((one, n) => commit(one, write(names[n], 1)))), 2);
  });

  test('two transactions that write without reading both commit', async () => {
    const transactions = [await begin(), await begin()];
    for (const [n, transaction] of transactions.entries()) await commit(transaction, write(name, n + 1));
    assert.equal(await value(), '2');
  });

  test('newTransaction: the first message of the answer has the transaction id', async () => {
    const newTransaction = { readWrite: {} };
    const [first, ...rest] = await collect(
      client.batchGetDocuments({ database, documents: [name], newTransaction }),
    );
    assert.ok(first.transaction.length > 0);
    assert.ok([first, ...rest].some((message) => message.found?.name === name));
    const structuredQuery = { from: [{ collectionId: 'none' }] };
    const [only] = await collect(client.runQuery({ parent, structuredQuery, newTransaction }));
    assert.ok(only.transaction.length > 0);
    await commit(first.transaction, write(name, 3));
    assert.equal(await value(), '3');
  });

  const finished = [code.INVALID_ARGUMENT, code.ABORTED];
  test('a rolled back transaction cannot commit', async () => {
    const transaction = await begin();
    await client.rollback({ database, transaction });
    const error = await commit(transaction, write(name, 1)).catch((failure) => failure);
    assert.ok(finished.includes(error.code), error.stack);
    assert.equal(await value(), '0');
  });

  test('a transaction whose commit failed can be rolled back but cannot commit', async () => {
    const transaction = await begin();
    const failing = { ...write(`${parent}/c/missing`, 1), currentDocument: { exists: true } };
    await refused(commit(transaction, write(name, 1), failing), code.NOT_FOUND);
    await client.rollback({ database, transaction });
    const error = await commit(transaction, write(name, 2)).catch((failure) => failure);
    assert.ok(finished.includes(error.code), error.stack);
    assert.equal(await value(), '0');
  });

  test('a transaction commits once', async () => {
    const transaction = await begin();
    await commit(transaction, write(name, 1));
    const error = await commit(transaction, write(name, 2)).catch((failure) => failure);
    assert.ok(finished.includes(error.code), error.stack);
    assert.equal(await value(), '1');
  });

  test('an unknown transaction is INVALID_ARGUMENT', async () => {
    const transaction = Buffer.from('never issued');
    await refused(commit(transaction, write(name, 1)), code.INVALID_ARGUMENT);
    await refused(client.getDocument({ name, transaction }), code.INVALID_ARGUMENT);
    await refused(client.rollback({ database, transaction }), code.INVALID_ARGUMENT);
  });

  test('a read-only transaction that writes is INVALID_ARGUMENT', async () => {
    const transaction = await begin({ readOnly: {} });
    await refused(commit(transaction, write(name, 1)), code.INVALID_ARGUMENT);
    assert.equal(await value(), '0');
  });

  test('after a rollback other writes succeed', async () => {
    const transaction = await begin();
    await client.getDocument({ name, transaction });
    await client.rollback({ database, transaction });
    await client.commit({ database, writes: [write(name, 9)] });
    assert.equal(await value(), '9');
  });

  test('a transaction that retries another one commits', async () => {
    const first = await begin();
    await client.rollback({ database, transaction: first });
    const second = await begin({ readWrite: { retryTransaction: first } });
    await commit(second, write(name, 4));
    assert.equal(await value(), '4');
  });

  test('a read time in the future is INVALID_ARGUMENT', async () => {
    const readTime = { seconds: Math.floor(Date.now() / 1000) + 3600 };
    await refused(client.getDocument({ name, readTime }), code.INVALID_ARGUMENT);
  });

  test('a read at a time returns the version of that time', async () => {
    const [{ commitTime }] = await client.commit({ database, writes: [write(name, 1)] });
    await client.commit({ database, writes: [write(name, 2)] });
    const [document] = await client.getDocument({ name, readTime: commitTime });
    assert.equal(document.fields.n.integerValue, '1');
  });
});
