// The RPCs Write, BatchWrite and Listen, through the generated client.

import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';

import { refused, useServer } from '../support/harness.js';
import { code } from '../support/sdk.js';

const server = useServer();

let client;
let database;
let root;
beforeEach(() => {
  ({ client, database, root } = server.raw());
});

const write = (path, n) => ({
  update: { name: `${root}/${path}`, fields: { n: { integerValue: String(n) } } },
});
const number = async (path) => {
  const [document] = await client.getDocument({ name: `${root}/${path}` });
  return Number(document.fields.n.integerValue);
};

/** Sends and receives on a bidirectional stream. */
function talk(stream) {
  const messages = stream[Symbol.asyncIterator]();
  const receive = async () => {
    const { value, done } = await messages.next();
    return done ? undefined : value;
  };
  return {
    send: (message) => stream.write(message),
    receive,
    async ask(message) {
      stream.write(message);
      return receive();
    },
    async until(fits) {
      const seen = [];
      for (;;) {
        const message = await receive();
        assert.ok(message, 'the stream ended early');
        seen.push(message);
        if (fits(message)) return seen;
      }
    },
    end: () => stream.end(),
  };
}

describe('Write', () => {
  test('opens with a token, then answers each request in order', async () => {
    const stream = talk(client.write());
    const opened = await stream.ask({ database });
    assert.notEqual(opened.streamId, '');
    assert.ok(opened.streamToken.length > 0);
    let { streamToken } = opened;
    for (let n = 1; n <= 3; n += 1) {
      const answer = await stream.ask({ streamToken, writes: [write('c/d', n), write('c/e', n)] });
      assert.equal(answer.writeResults.length, 2);
      assert.ok(Number(answer.commitTime.seconds) > 0);
      assert.notDeepEqual(answer.streamToken, streamToken);
      ({ streamToken } = answer);
      assert.equal(await number('c/d'), n);
    }
    stream.end();
    assert.equal(await stream.receive(), undefined);
  });

  test('a refused write ends the stream with its code', async () => {
    const stream = talk(client.write());
    const { streamToken } = await stream.ask({ database });
    const failing = { ...write('c/missing', 1), currentDocument: { exists: true } };
    await refused(stream.ask({ streamToken, writes: [write('c/d', 1), failing] }), code.NOT_FOUND);
    await refused(client.getDocument({ name: `${root}/c/d` }), code.NOT_FOUND);
  });

  test('a first request with writes is INVALID_ARGUMENT', async () => {
    const stream = talk(client.write());
    await refused(stream.ask({ database, writes: [write('c/d', 1)] }), code.INVALID_ARGUMENT);
  });
});

describe('BatchWrite', () => {
  test('applies each write independently and reports its status', async () => {
    const writes = [
      write('c/a', 1),
      { ...write('c/none', 1), currentDocument: { exists: true } },
      { delete: `${root}/c/absent` },
      write('c/b', 2),
    ];
    const [response] = await client.batchWrite({ database, writes });
    assert.deepEqual(response.status.map((status) => status.code), [0, code.NOT_FOUND, 0, 0]);
    assert.equal(response.writeResults.length, 4);
    assert.notEqual(response.writeResults[0].updateTime, null);
    assert.deepEqual([await number('c/a'), await number('c/b')], [1, 2]);
  });

  test('two writes of one document are INVALID_ARGUMENT', async () => {
    const twice = client.batchWrite({ database, writes: [write('c/a', 1), write('c/a', 2)] });
    await refused(twice, code.INVALID_ARGUMENT);
    await refused(client.getDocument({ name: `${root}/c/a` }), code.NOT_FOUND);
  });

  test('more than 500 writes are INVALID_ARGUMENT', async () => {
    const writes = Array.from({ length: 501 }, (_, n) => write(`c/d${n}`, n));
    await refused(client.batchWrite({ database, writes }), code.INVALID_ARGUMENT);
  });

  test('an invalid write does not affect the others', async () => {
    const bad = { update: { name: `${root}/c/bad`, fields: { __reserved__: { nullValue: 0 } } } };
    const outcome = await client.batchWrite({ database, writes: [write('c/a', 1), bad] }).then(
      ([response]) => response.status.map((status) => status.code),
      (error) => error.code,
    );
    // The whole request may be refused as malformed; if not, the valid write is applied.
    if (outcome !== code.INVALID_ARGUMENT) {
      assert.deepEqual(outcome, [0, code.INVALID_ARGUMENT]);
      assert.equal(await number('c/a'), 1);
    }
  });
});

describe('Listen', () => {
  const current = (message) => message.targetChange?.targetChangeType === 'CURRENT';
  const consistent = (message) => (
    message.targetChange?.targetChangeType === 'NO_CHANGE'
    && message.targetChange.targetIds.length === 0
    && message.targetChange.readTime
  );
  // A server may repeat a consistent state without changes; this waits for the one after `news`.
  const settled = async (stream, news) => [
    ...await stream.until(news),
    ...await stream.until(consistent),
  ];
  const changed = (message) => message.documentChange;
  const removed = (message) => message.documentDelete ?? message.documentRemove;
  const documents = (...paths) => ({ documents: paths.map((path) => `${root}/${path}`) });
  const query = () => ({ parent: root, structuredQuery: { from: [{ collectionId: 'c' }] } });

  test('a target is added, receives its documents, and becomes current and consistent', async () => {
    await client.commit({ database, writes: [write('c/a', 1)] });
    const stream = talk(client.listen());
    stream.send({ database, addTarget: { targetId: 7, query: query() } });
    const seen = await settled(stream, current);
    stream.end();
    const indexOf = (matches) => seen.findIndex(matches);
    const added = indexOf((message) => message.targetChange?.targetChangeType === 'ADD');
    const sent = indexOf((message) => message.documentChange?.document.name === `${root}/c/a`);
    assert.ok(added >= 0 && added < sent && sent < indexOf(current));
    assert.deepEqual(seen[added].targetChange.targetIds, [7]);
    assert.deepEqual(seen[sent].documentChange.targetIds, [7]);
    assert.ok(seen[indexOf(current)].targetChange.resumeToken.length > 0);
  });

  test('a change and a removal are each followed by a consistent state', async () => {
    await client.commit({ database, writes: [write('c/a', 1)] });
    const stream = talk(client.listen());
    stream.send({ database, addTarget: { targetId: 7, query: query() } });
    await stream.until(consistent);
    await client.commit({ database, writes: [write('c/a', 2)] });
    const change = (await settled(stream, changed)).find(changed);
    assert.equal(change.documentChange.document.fields.n.integerValue, '2');
    await client.deleteDocument({ name: `${root}/c/a` });
    const removal = (await settled(stream, removed)).find(removed);
    stream.end();
    const { document, removedTargetIds } = removed(removal);
    assert.equal(document, `${root}/c/a`);
    assert.deepEqual(removedTargetIds, [7]);
  });

  test('a document that leaves a query is removed from its target', async () => {
    await client.commit({ database, writes: [write('c/a', 1)] });
    const one = { fieldFilter: { field: { fieldPath: 'n' }, op: 'EQUAL', value: { integerValue: 1 } } };
    const { parent, structuredQuery } = query();
    const stream = talk(client.listen());
    stream.send({
      database,
      addTarget: { targetId: 7, query: { parent, structuredQuery: { ...structuredQuery, where: one } } },
    });
    await stream.until(consistent);
    await client.commit({ database, writes: [write('c/a', 2)] });
    const left = (message) => message.documentRemove?.document
      ?? (message.documentChange?.removedTargetIds.length ? message.documentChange.document.name : undefined);
    const seen = await settled(stream, left);
    stream.end();
    assert.ok(seen.map(left).includes(`${root}/c/a`), JSON.stringify(seen));
  });

  test('a missing document is reported as deleted', async () => {
    const stream = talk(client.listen());
    stream.send({ database, addTarget: { targetId: 3, documents: documents('c/missing') } });
    const seen = await stream.until((message) => message.documentDelete);
    stream.end();
    assert.equal(seen.at(-1).documentDelete.document, `${root}/c/missing`);
  });

  test('changes name the targets of the stream that they belong to', async () => {
    const stream = talk(client.listen());
    stream.send({ database, addTarget: { targetId: 1, documents: documents('c/a') } });
    await stream.until(consistent);
    stream.send({ database, addTarget: { targetId: 2, query: query() } });
    await settled(stream, current);
    await client.commit({ database, writes: [write('c/a', 1), write('c/b', 1)] });
    const seen = await stream.until((message) => message.documentChange?.document.name === `${root}/c/b`);
    const of = (path) => seen
      .filter((message) => message.documentChange?.document.name === `${root}/${path}`)
      .flatMap((message) => message.documentChange.targetIds)
      .toSorted();
    assert.deepEqual([of('c/a'), of('c/b')], [[1, 2], [2]]);
    stream.end();
  });

  test('a removed target receives no changes', async () => {
    const stream = talk(client.listen());
    stream.send({ database, addTarget: { targetId: 1, query: query() } });
    await stream.until(consistent);
    stream.send({ database, removeTarget: 1 });
    await stream.until((message) => message.targetChange?.targetChangeType === 'REMOVE');
    await client.commit({ database, writes: [write('c/a', 1)] });
    stream.send({ database, addTarget: { targetId: 2, query: query() } });
    const seen = await settled(stream, changed);
    stream.end();
    const changes = seen.filter((message) => message.documentChange);
    assert.deepEqual(changes.map((message) => message.documentChange.targetIds), [[2]]);
  });

  test('a resumed target receives all changes since its token', async () => {
    await client.commit({ database, writes: [write('c/a', 1), write('c/b', 1), write('c/kept', 1)] });
    const first = talk(client.listen());
    first.send({ database, addTarget: { targetId: 1, query: query() } });
    const { resumeToken } = (await first.until(consistent)).at(-1).targetChange;
    first.end();
    await client.commit({ database, writes: [write('c/a', 2), { delete: `${root}/c/b` }, write('c/new', 1)] });

    const second = talk(client.listen());
    second.send({ database, addTarget: { targetId: 1, query: query(), resumeToken } });
    const seen = await settled(second, current);
    second.end();
    // The server may send only the difference, or send RESET and then all documents.
    const reset = seen.some((message) => message.targetChange?.targetChangeType === 'RESET');
    const known = new Map(reset ? [] : [['a', '1'], ['b', '1'], ['kept', '1']]);
    for (const { documentChange, documentDelete, documentRemove } of seen) {
      const name = documentDelete?.document ?? documentRemove?.document;
      if (name) known.delete(name.split('/').at(-1));
      if (documentChange) {
        known.set(documentChange.document.name.split('/').at(-1), documentChange.document.fields.n.integerValue);
      }
    }
    // The count of a filter shows that a document is missing that the server no longer names.
    const filter = seen.find((message) => message.filter)?.filter;
    if (filter && filter.count !== known.size) known.delete('b');
    assert.deepEqual(Object.fromEntries(known), { a: '2', kept: '1', new: '1' });
  });

  test('the target of an invalid query is removed with a cause', async () => {
    const stream = talk(client.listen());
    const bad = { fieldFilter: { field: { fieldPath: 'n' }, op: 'IN', value: { arrayValue: { values: [] } } } };
    const { parent, structuredQuery } = query();
    stream.send({
      database,
      addTarget: { targetId: 1, query: { parent, structuredQuery: { ...structuredQuery, where: bad } } },
    });
    const outcome = await stream
      .until((message) => message.targetChange?.targetChangeType === 'REMOVE')
      .then((seen) => seen.at(-1).targetChange.cause.code, (error) => error.code);
    assert.equal(code[outcome], 'INVALID_ARGUMENT');
  });
});
