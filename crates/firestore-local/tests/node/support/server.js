// Starts and stops server processes, one for each test file.
//
// FIRESTORE_LOCAL_BIN names the binary. Each server picks free ports and prints them in the first
// line of its output, so that test files can run concurrently.

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
  throw new Error('firestore-local exited before it was listening');
}

/** Starts a server with the data folder `data`, or in memory; with an index file if one is given. */
export async function startServer({ data, indexes } = {}) {
  const options = [...(data ? ['--data', data] : []), ...(indexes ? ['--indexes', indexes] : [])];
  const args = ['--addr', '127.0.0.1:0', ...options];
  const child = spawn(binary(), args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  // A test file that is stopped early must not leave its server running.
  process.once('exit', () => child.kill('SIGKILL'));
  process.once('SIGTERM', () => process.exit(1));
  const { host, meterUrl } = await greeting(child);
  return {
    host,

    /** The bill so far. */
    async meter() {
      const response = await fetch(meterUrl);
      return response.json();
    },

    /** Stops the process and waits until it has exited. */
    async end(signal = 'SIGTERM') {
      child.kill(signal);
      await exited;
    },
  };
}
