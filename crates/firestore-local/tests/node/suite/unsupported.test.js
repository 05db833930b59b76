// Unsupported features are answered UNIMPLEMENTED by name, never with a wrong result.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { collect, refused, useServer } from '../support/harness.js';
import { code, FieldValue } from '../support/sdk.js';

const server = useServer();

describe('UNIMPLEMENTED', { concurrency: true }, () => {
  test('pipelines', async () => {
    const pipeline = server.db().pipeline().collection('c');
    await refused(pipeline.execute(), code.UNIMPLEMENTED, /ExecutePipeline/);
  });

  test('find_nearest', async () => {
    const query = server.db().collection('c').findNearest({
      vectorField: 'v',
      queryVector: FieldValue.vector([1, 2]),
      limit: 1,
      distanceMeasure: 'EUCLIDEAN',
    });
    await refused(query.get(), code.UNIMPLEMENTED, /find_nearest/);
  });

  test('explain of a query', async () => {
    const explained = server.db().collection('c').explain({ analyze: true });
    await refused(explained, code.UNIMPLEMENTED, /explain_options/);
  });

  test('explain of an aggregation', async () => {
    const explained = server.db().collection('c').count().explain({ analyze: true });
    await refused(explained, code.UNIMPLEMENTED, /explain_options/);
  });
});

describe('malformed requests', { concurrency: true }, () => {
  const from = [{ collectionId: 'c' }];
  const field = { fieldPath: 'n' };
  const REFUSED = [
    ['a query of two collections', { from: [...from, { collectionId: 'd' }] }],
    ['a negative limit', { from, limit: { value: -1 } }],
    ['a negative offset', { from, offset: -1 }],
    ['an unspecified operator', { from, where: { fieldFilter: { field, op: 'OPERATOR_UNSPECIFIED', value: { integerValue: 1 } } } }],
    ['a composite filter without an operator', { from, where: { compositeFilter: { filters: [] } } }],
    ['a cursor with more values than orders', { from, orderBy: [{ field, direction: 'ASCENDING' }], startAt: { values: Array(3).fill({ integerValue: 1 }), before: true } }],
    ['a name compared to a number', { from, where: { fieldFilter: { field: { fieldPath: '__name__' }, op: 'EQUAL', value: { integerValue: 1 } } } }],
    ['in without an array', { from, where: { fieldFilter: { field, op: 'IN', value: { integerValue: 1 } } } }],
  ];
  for (const [what, structuredQuery] of REFUSED) {
    test(`${what} is INVALID_ARGUMENT`, async () => {
      const { client, root } = server.raw();
      await refused(collect(client.runQuery({ parent: root, structuredQuery })), code.INVALID_ARGUMENT);
    });
  }

  test('a request without a query is INVALID_ARGUMENT', async () => {
    const { client, root } = server.raw();
    await refused(collect(client.runQuery({ parent: root })), code.INVALID_ARGUMENT);
  });

  test('a write without an operation is INVALID_ARGUMENT', async () => {
    const { client, database } = server.raw();
    await refused(client.commit({ database, writes: [{}] }), code.INVALID_ARGUMENT);
  });

  test('a commit without writes succeeds', async () => {
    const { client, database } = server.raw();
    const [response] = await client.commit({ database, writes: [] });
    assert.deepEqual(response.writeResults, []);
    assert.notEqual(response.commitTime, null);
  });
});
