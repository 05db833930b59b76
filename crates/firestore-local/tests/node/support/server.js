// Starts and ends server processes of our own, one for each test file.
//
// The binary comes from FIRESTORE_LOCAL_BIN. It picks its own free ports and says which on the
// first line of its output, so that files can run side by side.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const GREETING = /^listening on (\S+); meter on (\S+)$/;

function binary() {
  const path = process.env.FIRESTORE_LOCAL_BIN;
  if (!path) {
    throw new Error('FIRESTORE_LOCAL_BIN must name the firestore-local binary');
  }
  return path;
}

async function greeting(child) {
  for await (const line of createInterface({ input: child.stdout })) {
    const match = GREETING.exec(line);
    if (match) return { host: match[1], meterUrl: match[2] };
  }
  throw new Error('firestore-local ended before it was listening');
}

/** Starts a server: in memory, or durable in the folder `data`. */
export async function startServer({ data } = {}) {
  const args = ['--addr', '127.0.0.1:0', ...(data ? ['--data', data] : [])];
  const child = spawn(binary(), args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  // A test file that is stopped halfway must not leave its server behind.
  process.once('exit', () => child.kill('SIGKILL'));
  process.once('SIGTERM', () => process.exit(1));
  const { host, meterUrl } = await greeting(child);
  return {
    host,

    /** Billed operations so far. */
    async meter() {
      const response = await fetch(meterUrl);
      return response.json();
    },

    /** Ends the process and waits until it is gone. */
    async end(signal = 'SIGTERM') {
      child.kill(signal);
      await exited;
    },
  };
}
