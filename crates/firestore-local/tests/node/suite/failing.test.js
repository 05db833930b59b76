// A query that the server refuses fails at once: the error comes inside the stream, after headers.
// The SDK treats an error without headers as a broken connection, and retries for seconds.

import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';

import { refused, useServer } from '../support/harness.js';
import { code, FieldPath, Filter } from '../support/sdk.js';

const server = useServer();

describe('a refused streaming call fails within a second', () => {
  let db;
  beforeEach(async () => {
    db = server.db();
    await db.doc('c/d').set({ n: 1 });
  });

  const tooMany = () => db.collection('c').where(
    Filter.or(...Array.from({ length: 31 }, (_, n) => Filter.where('n', '==', n))),
  );
  const calls = {
    'a query': () => tooMany().get(),
    'an aggregation': () => tooMany().count().get(),
    'a query in a transaction': () => db.runTransaction((transaction) => transaction.get(tooMany())),
    'a streamed query': () => new Promise((resolve, reject) => {
      tooMany().stream().on('data', () => {}).on('end', resolve)
        .on('error', reject);
    }),
    'a batch of reads': () => db.getAll(db.doc('__c__/d')),
  };
  for (const [name, call] of Object.entries(calls)) {
    test(name, async () => {
      const began = Date.now();
      await refused(call(), code.INVALID_ARGUMENT);
      assert.ok(Date.now() - began < 1000, `${Date.now() - began} ms`);
    });
  }

  test('a query without an index', async () => {
    const began = Date.now();
    const query = db.collection('c').orderBy(FieldPath.documentId(), 'desc');
    await refused(query.get(), code.FAILED_PRECONDITION, /requires an index/);
    assert.ok(Date.now() - began < 1000, `${Date.now() - began} ms`);
  });
});
