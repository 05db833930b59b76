/**
 * Writes the types of `src/schema.ts` from the JSON Schemas in `docs/schema`: `node generate.js FILE`.
 */

import { readFile, writeFile } from 'node:fs/promises';

import { compile } from 'json-schema-to-typescript';

const BANNER = `/**
 * The documents of Firestore that components write and read. Generated from docs/schema by
 * clients/generate; do not edit it.
 */
`;

/** Without what the compiler takes for types of their own: texts beside `$ref`, and objects for any value. */
function plain(schema) {
  if (Array.isArray(schema)) return schema.map(plain);
  if (typeof schema !== 'object' || schema === null) return schema;
  if (schema.$ref) return { $ref: schema.$ref };
  const entries = Object.entries(schema).map(([name, value]) => [name, plain(value)]);
  const isAny = Object.keys(schema).every((name) => name === 'description');
  return { ...Object.fromEntries(entries), ...(isAny && { tsType: 'unknown' }) };
}

const types = [];
for (const name of ['observation', 'policy']) {
  const file = new URL(`../../docs/schema/${name}.json`, import.meta.url);
  const schema = plain(JSON.parse(await readFile(file, 'utf8')));
  types.push(
    await compile(schema, schema.title, {
      additionalProperties: false,
      bannerComment: '',
      style: { singleQuote: true, printWidth: 110 },
    }),
  );
}
const readOnly = types
  .join('\n')
  .replace(/^( +)(\w+\??:|\[k: string\]:)/gm, '$1readonly $2')
  .replaceAll('string[]', 'readonly string[]');
await writeFile(process.argv[2], `${BANNER}\n${readOnly}`);
