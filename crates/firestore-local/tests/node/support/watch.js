// onSnapshot as something to await.

import { after } from 'node:test';

// A client with a listener does not close, also where a test failed before it stopped its own.
const running = new Set();
after(() => {
  for (const stop of running) stop();
});

/** Listens to a document or query until `stop`. */
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

    /** The next snapshot, in order; fails if the listener failed. */
    next,

    /** The first snapshot that fits; what comes before it is dropped. */
    async until(fits) {
      for (;;) {
        const snapshot = await next();
        if (fits(snapshot)) return snapshot;
      }
    },

    /** How many snapshots wait to be looked at. */
    pending: () => arrived.length,
  };
}

/** `type id@old>new` for each change of a query snapshot. */
export function changes(snapshot) {
  return snapshot.docChanges().map(({ type, doc, oldIndex, newIndex }) => (
    `${type} ${doc.id}@${oldIndex}>${newIndex}`
  ));
}
