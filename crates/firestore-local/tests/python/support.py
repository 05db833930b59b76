"""Server processes, and clients for them.

FIRESTORE_LOCAL_BIN names the binary. Each server picks free ports and prints them in the first line
of its output.
"""

import json
import os
import re
import signal
import subprocess
import urllib.request
import uuid

import grpc
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore
from google.cloud.firestore_v1.services.firestore import FirestoreClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport

GREETING = re.compile(r"^listening on (\S+); meter on (\S+)$")


class Server:
    """A running firestore-local, with the data folder `data` or in memory."""

    def __init__(self, data=None):
        binary = os.environ.get("FIRESTORE_LOCAL_BIN")
        if not binary:
            raise RuntimeError("FIRESTORE_LOCAL_BIN must name the firestore-local binary")
        folder = ["--data", str(data)] if data else []
        self._process = subprocess.Popen(
            [binary, "--addr", "127.0.0.1:0", *folder], stdout=subprocess.PIPE, text=True
        )
        match = GREETING.match(self._process.stdout.readline())
        if not match:
            raise RuntimeError("firestore-local exited before it was listening")
        self.host, self._meter_url = match.groups()

    def end(self, how=signal.SIGTERM):
        """Stops the process and waits until it has exited."""
        self._process.send_signal(how)
        self._process.wait(timeout=20)
        self._process.stdout.close()

    def meter(self):
        """Returns the bill so far."""
        with urllib.request.urlopen(self._meter_url) as response:
            return json.load(response)

    def client(self, kind=firestore.Client, project=None, **settings):
        """Creates a client of the SDK, for a new project unless one is given."""
        os.environ["FIRESTORE_EMULATOR_HOST"] = self.host
        project = project or fresh_project()
        return kind(project=project, credentials=AnonymousCredentials(), **settings)

    def raw(self, project=None):
        """Creates a generated client, for a new project unless one is given."""
        return Raw(self.host, project or fresh_project())


class Raw:
    """The generated client of the SDK, for RPCs that the SDK never calls, and its database."""

    def __init__(self, host, project):
        self._channel = grpc.insecure_channel(host)
        self.client = FirestoreClient(transport=FirestoreGrpcTransport(channel=self._channel))
        self.database = f"projects/{project}/databases/(default)"
        self.root = f"{self.database}/documents"

    def name(self, path):
        return f"{self.root}/{path}"

    def write(self, path, **integers):
        """Returns a write that replaces a document by one with integer fields."""
        fields = {name: {"integer_value": value} for name, value in integers.items()}
        return {"update": {"name": self.name(path), "fields": fields}}

    def commit(self, *writes, **request):
        return self.client.commit(
            request={"database": self.database, "writes": list(writes), **request}
        )

    def get(self, path, **request):
        return self.client.get_document(request={"name": self.name(path), **request})

    def update(self, path, fields, **request):
        document = {"name": self.name(path), "fields": fields}
        return self.client.update_document(request={"document": document, **request})

    def begin(self, **options):
        request = {"database": self.database, "options": options}
        return self.client.begin_transaction(request=request).transaction

    def close(self):
        self._channel.close()


def fresh_project():
    return f"test-{uuid.uuid4()}"


def seed(collection, documents):
    """Writes `{id: data}` into the collection in one commit."""
    batch = collection._client.batch()
    for key, data in documents.items():
        batch.set(collection.document(key), data)
    batch.commit()


def ids(query):
    """The ids of a query's documents, in order."""
    return [document.id for document in query.stream()]
