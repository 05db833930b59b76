// Queries that an index file does not serve.

import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { ids, refused, seed, useServer } from '../support/harness.js';
import { code } from '../support/sdk.js';

const file = join(mkdtempSync(join(tmpdir(), 'indexes-')), 'firestore.indexes.json');
const byPopulation = {
  collectionGroup: 'cities',
  queryScope: 'COLLECTION',
  fields: [
    { fieldPath: 'country', order: 'ASCENDING' },
    { fieldPath: 'population', order: 'ASCENDING' },
  ],
};
writeFileSync(file, JSON.stringify({ indexes: [byPopulation], fieldOverrides: [] }));
const server = useServer({ indexes: file });

async function cities() {
  const collection = server.db().collection('cities');
  await seed(collection, { tok: { country: 'Japan', population: 9 }, osa: { country: 'Japan', population: 2 } });
  return collection.where('country', '==', 'Japan');
}

/** The definition in the message of a refusal. */
function definition(error) {
  const text = error.message.slice(error.message.indexOf('"indexes": ') + '"indexes": '.length);
  return JSON.parse(text);
}

test('a query with an index is answered', async () => {
  const query = await cities();
  assert.deepEqual(await ids(query.orderBy('population')), ['osa', 'tok']);
});

test('a query without an index is refused with the definition to add', async () => {
  const query = (await cities()).orderBy('population', 'desc');
  const began = Date.now();
  const error = await refused(query.get(), code.FAILED_PRECONDITION, /The query requires an index/);
  assert.deepEqual(definition(error), {
    ...byPopulation,
    fields: [byPopulation.fields[0], { fieldPath: 'population', order: 'DESCENDING' }],
  });
  assert.ok(Date.now() - began < 3000, 'the SDK retried');
});

test('a count without an index is refused', async () => {
  const query = (await cities()).orderBy('population', 'desc');
  await refused(query.count().get(), code.FAILED_PRECONDITION, /The query requires an index/);
});

test('a listener without an index gets the error', async () => {
  const query = (await cities()).orderBy('population', 'desc');
  const failure = new Promise((resolve) => query.onSnapshot(() => resolve(), resolve));
  const error = await failure;
  assert.match(error.message, /The query requires an index/);
});

test('a transaction without an index is refused', async () => {
  const query = (await cities()).orderBy('population', 'desc');
  const run = query.firestore.runTransaction((transaction) => transaction.get(query));
  await refused(run, code.FAILED_PRECONDITION, /The query requires an index/);
});
