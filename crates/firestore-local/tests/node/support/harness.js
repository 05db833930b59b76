// The setup of every test file: one server for the file, a new project for each test.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before } from 'node:test';

import { code, Firestore, rawClient } from './sdk.js';
import { startServer } from './server.js';

/**
 * Starts a server before the tests of a file and stops it after them.
 * @param options of `startServer`
 * @returns access to the server for the tests
 */
export function useServer(options = {}) {
  let server;
  const open = [];

  before(async () => {
    server = await startServer(options);
    process.env.FIRESTORE_EMULATOR_HOST = server.host;
  });

  after(async () => {
    await Promise.all(open.map((close) => close()));
    await server?.end();
  });

  return {
    /** A client of a new project, or with the given settings. */
    db(settings = {}) {
      const db = new Firestore({ projectId: freshProject(), ...settings });
      open.push(() => db.terminate());
      return db;
    },

    /** The generated client, and the database to name in its requests. */
    raw(projectId = freshProject()) {
      const client = rawClient(server.host);
      open.push(() => client.close());
      const database = `projects/${projectId}/databases/(default)`;
      return { client, database, root: `${database}/documents`, projectId };
    },

    meter: () => server.meter(),
  };
}

export function freshProject() {
  return `test-${randomUUID()}`;
}

/** Checks that the call fails with this status; returns the error. */
export async function refused(call, status, message = /./) {
  const outcome = await Promise.resolve(call).then(
    (value) => ({ value }),
    (error) => ({ error }),
  );
  assert.ok(outcome.error, `expected ${code[status]}, but the call succeeded`);
  const { error } = outcome;
  assert.equal(code[error.code], code[status], `expected ${code[status]}: ${error.stack}`);
  assert.match(error.message, message);
  return error;
}

/** Writes `{id: data}` into the collection in one commit. */
export async function seed(collection, documents) {
  const batch = collection.firestore.batch();
  for (const [id, data] of Object.entries(documents)) batch.set(collection.doc(id), data);
  await batch.commit();
}

/** The ids of a query's documents, in order. */
export async function ids(query) {
  const snapshot = await query.get();
  return snapshot.docs.map((document) => document.id);
}

/** All messages of a stream. */
export async function collect(stream) {
  const messages = [];
  for await (const message of stream) messages.push(message);
  return messages;
}
