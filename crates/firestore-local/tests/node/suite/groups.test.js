// Collection groups, partitions, listings and recursive deletes.

import assert from 'node:assert/strict';
import { before, beforeEach, describe, test } from 'node:test';

import { ids, refused, seed, useServer } from '../support/harness.js';
import { code, FieldPath } from '../support/sdk.js';

const server = useServer();

describe('collection groups', () => {
  let db;
  before(async () => {
    db = server.db();
    const paths = ['sub/top', 'c/a/sub/a1', 'c/a/sub/a2', 'c/b/sub/b1', 'c/b/sub/b1/sub/deep', 'c/b/other/o', 'c/sub'];
    const batch = db.batch();
    paths.forEach((path, n) => batch.set(db.doc(path), { n }));
    await batch.commit();
  });

  test('a group includes the collections with its id at every depth', async () => {
    assert.deepEqual(await ids(db.collectionGroup('sub')), ['a1', 'a2', 'b1', 'deep', 'top']);
  });

  test('a group is filtered and ordered like a collection', async () => {
    const query = db.collectionGroup('sub').where('n', '>=', 1).orderBy('n', 'desc').limit(3);
    assert.deepEqual(await ids(query), ['deep', 'b1', 'a2']);
  });

  test('a group is counted', async () => {
    const counted = await db.collectionGroup('sub').count().get();
    assert.equal(counted.data().count, 5);
  });

  test('a group is filtered by full names', async () => {
    const id = FieldPath.documentId();
    const query = db.collectionGroup('sub').where(id, '>=', 'c/a/sub/a2').where(id, '<', 'sub/top');
    assert.deepEqual(await ids(query), ['a2', 'b1', 'deep']);
  });

  test('a group is paged by snapshot', async () => {
    const query = db.collectionGroup('sub').orderBy('n');
    const first = await query.limit(2).get();
    assert.deepEqual(await ids(query.startAfter(first.docs[1])), ['a2', 'b1', 'deep']);
  });

  test('a collection does not include the levels below it', async () => {
    assert.deepEqual(await ids(db.collection('c/b/sub')), ['b1']);
  });

  test('a collection without documents is empty', async () => {
    assert.deepEqual(await ids(db.collection('c/zzz/sub')), []);
  });
});

describe('partitions', () => {
  test('cover a group without gaps or overlaps', async () => {
    const db = server.db();
    const documents = Object.fromEntries(
      Array.from({ length: 300 }, (_, n) => [`d${String(n).padStart(3, '0')}`, { n }]),
    );
    await seed(db.collection('parent/p/items'), documents);
    const found = [];
    let partitions = 0;
    for await (const partition of db.collectionGroup('items').getPartitions(4)) {
      partitions += 1;
      found.push(...await ids(partition.toQuery()));
    }
    assert.ok(partitions >= 1 && partitions <= 4, `${partitions}`);
    assert.deepEqual(found, Object.keys(documents));
  });

  test('of an empty group are a single empty partition', async () => {
    const partitions = [];
    for await (const partition of server.db().collectionGroup('none').getPartitions(3)) {
      partitions.push(partition);
    }
    assert.equal(partitions.length, 1);
    assert.deepEqual(await ids(partitions[0].toQuery()), []);
  });
});

describe('listings', () => {
  let db;
  before(async () => {
    db = server.db();
    await db.doc('c/there').set({ a: 1 });
    await db.doc('c/missing/sub/s').set({ a: 1 });
    await db.doc('c/there/sub/s').set({ a: 1 });
    await db.doc('b/x').set({});
    await db.doc('c/missing/other/o').set({});
  });

  test('listDocuments includes missing parents', async () => {
    const names = await db.collection('c').listDocuments();
    assert.deepEqual(names.map((document) => document.id), ['missing', 'there']);
    assert.equal((await names[0].get()).exists, false);
    assert.deepEqual(await ids(db.collection('c')), ['there']);
  });

  test('listDocuments of an empty collection is empty', async () => {
    assert.deepEqual(await db.collection('none').listDocuments(), []);
  });

  test('listDocuments returns more than one page', async () => {
    const many = server.db().collection('many');
    await seed(many, Object.fromEntries(Array.from({ length: 450 }, (_, n) => [`d${n}`, {}])));
    assert.equal((await many.listDocuments()).length, 450);
  });

  test('listCollections of the root returns the top-level collections', async () => {
    const names = await db.listCollections();
    assert.deepEqual(names.map((collection) => collection.path), ['b', 'c']);
  });

  test('listCollections of an existing or missing document returns its subcollections', async () => {
    const of = async (path) => (await db.doc(path).listCollections()).map(({ id }) => id);
    assert.deepEqual(await of('c/there'), ['sub']);
    assert.deepEqual(await of('c/missing'), ['other', 'sub']);
    assert.deepEqual(await of('b/x'), []);
  });

  test('a collection disappears with its last document', async () => {
    const own = server.db();
    await own.doc('c/d').set({});
    await own.doc('c/d').delete();
    assert.deepEqual(await own.listCollections(), []);
  });
});

describe('recursiveDelete', () => {
  let db;
  beforeEach(async () => {
    db = server.db();
    const paths = ['c/a', 'c/a/sub/x', 'c/a/sub/x/deep/y', 'c/b/sub/z', 'c0/kept', 'ca/kept', 'b/kept'];
    const batch = db.batch();
    for (const path of paths) batch.set(db.doc(path), { path });
    await batch.commit();
  });

  const left = async () => {
    const found = [];
    for (const collection of ['b', 'c', 'c0', 'ca', 'sub', 'deep']) {
      const snapshot = await db.collectionGroup(collection).get();
      found.push(...snapshot.docs.map((document) => document.ref.path));
    }
    return found.toSorted();
  };

  test('of a collection deletes everything below it and nothing else', async () => {
    await db.recursiveDelete(db.collection('c'));
    assert.deepEqual(await left(), ['b/kept', 'c0/kept', 'ca/kept']);
  });

  test('of a document deletes it and everything below it', async () => {
    await db.recursiveDelete(db.doc('c/a'));
    assert.deepEqual(await left(), ['b/kept', 'c/b/sub/z', 'c0/kept', 'ca/kept']);
  });
});

describe('partition RPC', { concurrency: true }, () => {
  const group = [{ collectionId: 'c', allDescendants: true }];
  const name = { field: { fieldPath: '__name__' }, direction: 'ASCENDING' };
  const REFUSED = [
    ['a collection that is not a group', { from: [{ collectionId: 'c' }], orderBy: [name] }, 2],
    ['an order by a field', { from: group, orderBy: [{ ...name, field: { fieldPath: 'n' } }] }, 2],
    ['a descending order', { from: group, orderBy: [{ ...name, direction: 'DESCENDING' }] }, 2],
    ['a limit', { from: group, orderBy: [name], limit: { value: 3 } }, 2],
    ['an offset', { from: group, orderBy: [name], offset: 1 }, 2],
    ['no partitions', { from: group, orderBy: [name] }, 0],
    ['a negative number of partitions', { from: group, orderBy: [name] }, -1],
  ];
  for (const [what, structuredQuery, partitionCount] of REFUSED) {
    test(`${what} is INVALID_ARGUMENT`, async () => {
      const { client, root } = server.raw();
      const request = { parent: root, structuredQuery, partitionCount };
      await refused(client.partitionQuery(request), code.INVALID_ARGUMENT);
    });
  }

  test('pages return every point once', async () => {
    const { client, root, projectId } = server.raw();
    const db = server.db({ projectId });
    await seed(db.collection('c'), Object.fromEntries(Array.from({ length: 400 }, (_, n) => [`d${n}`, {}])));
    const request = { parent: root, structuredQuery: { from: group, orderBy: [name] }, partitionCount: 3 };
    const [whole] = await client.partitionQuery(request);
    const points = [];
    let pageToken = '';
    do {
      const options = { autoPaginate: false };
      const [page, , response] = await client.partitionQuery({ ...request, pageSize: 1, pageToken }, options);
      points.push(...page);
      pageToken = response.nextPageToken;
    } while (pageToken);
    assert.deepEqual(points, whole);
    const names = points.map((point) => point.values[0].referenceValue);
    assert.deepEqual(names, names.toSorted());
  });
});
