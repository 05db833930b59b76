// The SDK under test, imported once: it is CommonJS, and most of its exports are getters that
// named imports do not see.

// There is no metadata server here, and looking for one takes seconds.
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

/** The generated client beneath the SDK: it reaches the RPCs that the SDK itself never calls. */
export function rawClient(host) {
  const [servicePath, port] = host.split(':');
  return new v1.FirestoreClient({
    servicePath,
    port: Number(port),
    sslCreds: gax.grpc.credentials.createInsecure(),
    projectId: 'unused',
  });
}
