// Awaits the snapshots that onSnapshot delivers.

import { after } from 'node:test';

// A client with an active listener does not close. This also stops the listeners of failed tests.
const running = new Set();
after(() => {
  for (const stop of running) stop();
});

/** Listens to a document or query until `stop` is called. */
export function watch(target) {
  const arrived = [];
  let failure;
  let wake = () => {};
  const stop = target.onSnapshot(
    (snapshot) => {
      arrived.push(snapshot);
      wake();
    },
    (error) => {
      failure = error;
      wake();
    },
  );

  running.add(stop);

  async function next() {
    while (arrived.length === 0) {
      if (failure) throw failure;
      await new Promise((resolve) => {
        wake = resolve;
      });
    }
    return arrived.shift();
  }

  return {
    stop,

    /** Returns the next snapshot, in order; fails if the listener failed. */
    next,

    /** Returns the first snapshot that matches, and drops those before it. */
    async until(matches) {
      for (;;) {
        const snapshot = await next();
        if (matches(snapshot)) return snapshot;
      }
    },

    /** The number of snapshots that have not been read. */
    pending: () => arrived.length,
  };
}

/** `type id@old>new` for each change of a query snapshot. */
export function changes(snapshot) {
  return snapshot.docChanges().map(({ type, doc, oldIndex, newIndex }) => (
    `${type} ${doc.id}@${oldIndex}>${newIndex}`
  ));
}
