// A server with a data folder keeps every acknowledged commit when it is killed.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';

import { ids } from '../support/harness.js';
import { Firestore, rawClient } from '../support/sdk.js';
import { startServer } from '../support/server.js';

describe('durability', () => {
  let data;
  let server;
  let clients;
  beforeEach(async () => {
    data = await mkdtemp(join(tmpdir(), 'firestore-local-'));
    clients = [];
    server = await startServer({ data });
  });
  afterEach(async () => {
    await Promise.all(clients.map((client) => client.terminate()));
    await server.end();
    await rm(data, { recursive: true });
  });

  const connect = () => {
    process.env.FIRESTORE_EMULATOR_HOST = server.host;
    const db = new Firestore({ projectId: 'kept' });
    clients.push(db);
    return db;
  };
  const restart = async (signal) => {
    await server.end(signal);
    server = await startServer({ data });
    return connect();
  };

  test('all kinds of writes survive SIGKILL', async () => {
    const before = connect();
    await before.doc('c/set').set({ n: 1, m: { x: [1, 'a', null] } });
    await before.doc('c/gone').set({});
    await before.doc('c/gone').delete();
    await before.batch().set(before.doc('c/a/sub/b'), { n: 2 }).commit();
    await before.runTransaction(async (transaction) => {
      const read = await transaction.get(before.doc('c/set'));
      transaction.update(read.ref, { n: read.get('n') + 1 });
    });
    const written = await before.doc('c/set').get();

    const after = await restart('SIGKILL');
    const read = await after.doc('c/set').get();
    assert.deepEqual(read.data(), { n: 2, m: { x: [1, 'a', null] } });
    assert.ok(read.createTime.isEqual(written.createTime));
    assert.ok(read.updateTime.isEqual(written.updateTime));
    assert.equal((await after.doc('c/gone').get()).exists, false);
    assert.equal((await after.collectionGroup('sub').get()).docs[0].get('n'), 2);
  });

  test('SIGKILL under load loses no acknowledged commit and splits no batch', async () => {
    const client = rawClient(server.host);
    const database = 'projects/kept/databases/(default)';
    const write = (path) => ({ update: { name: `${database}/documents/${path}`, fields: {} } });
    const acknowledged = new Set();
    const writer = async (worker) => {
      for (let n = 0; ; n += 1) {
        const id = `${worker}-${n}`;
        const writes = [write(`left/${id}`), write(`right/${id}`)];
        await client.commit({ database, writes }, { retry: null });
        acknowledged.add(id);
      }
    };
    // Each writer must end with an error, when the server is gone.
    const writers = Array.from({ length: 8 }, (_, worker) => assert.rejects(writer(worker)));
    while (acknowledged.size < 200) await new Promise((resolve) => setImmediate(resolve));
    await server.end('SIGKILL');
    await Promise.all(writers);
    await client.close();

    server = await startServer({ data });
    const after = connect();
    const [left, right] = await Promise.all([ids(after.collection('left')), ids(after.collection('right'))]);
    assert.deepEqual(left, right);
    assert.deepEqual([...acknowledged].filter((id) => !left.includes(id)), []);
  });

  test('commit times still rise after a restart', async () => {
    const before = connect();
    const first = await before.doc('c/d').set({ n: 1 });
    const after = await restart('SIGKILL');
    const second = await after.doc('c/d').set({ n: 2 });
    assert.ok(second.writeTime.valueOf() > first.writeTime.valueOf());
  });

  test('documents survive SIGTERM', async () => {
    await connect().doc('c/d').set({ n: 1 });
    const after = await restart('SIGTERM');
    assert.deepEqual((await after.doc('c/d').get()).data(), { n: 1 });
  });

  test('without a data folder nothing is kept', async () => {
    const volatile = await startServer();
    const client = rawClient(volatile.host);
    const document = { name: 'projects/p/databases/(default)/documents/c/d', fields: {} };
    await client.updateDocument({ document });
    await client.close();
    await volatile.end();
    const again = await startServer();
    const next = rawClient(again.host);
    await assert.rejects(next.getDocument({ name: document.name }), { code: 5 });
    await next.close();
    await again.end();
  });
});
