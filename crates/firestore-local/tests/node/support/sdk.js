// The SDK under test. It is CommonJS, and most of its exports are getters, which named imports do
// not support.

// There is no metadata server, and looking for one takes seconds.
process.env.METADATA_SERVER_DETECTION ??= 'none';

import firestore from '@google-cloud/firestore';
import gax from 'google-gax';

export const {
  AggregateField,
  FieldPath,
  FieldValue,
  Filter,
  Firestore,
  GeoPoint,
  Timestamp,
  v1,
} = firestore;

/** gRPC status codes by name. */
export const code = gax.grpc.status;

/** The generated client of the SDK, for RPCs that the SDK itself never calls. */
export function rawClient(host) {
  const [servicePath, port] = host.split(':');
  return new v1.FirestoreClient({
    servicePath,
    port: Number(port),
    sslCreds: gax.grpc.credentials.createInsecure(),
    projectId: 'unused',
  });
}
