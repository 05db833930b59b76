"""Copies of the services of Google's that the service needs, under their own names: DNS, the metadata
server, Firestore behind TLS, the keys of Firebase, and Cloud Storage. Each counts what it was asked."""

import collections
import http.server
import json
import pathlib
import socket
import socketserver
import ssl
import struct
import threading

ADDRESSES = {
    "firestore.googleapis.com": "127.0.0.2",
    "www.googleapis.com": "127.0.0.3",
    "storage.googleapis.com": "127.0.0.4",
    "metadata.google.internal": "127.0.0.5",
}
TLS_NAMES = [name for name in ADDRESSES if name.endswith("googleapis.com")]
TOKEN = "ya29.of-the-metadata-server"
KEYS_PATH = "/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com"

asked = collections.Counter()
objects = {}


class Dns(socketserver.BaseRequestHandler):
    def handle(self):
        query, answer_to = self.request
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind = struct.unpack("!H", query[at + 1 : at + 3])[0]
        question, name = query[12 : at + 5], ".".join(labels).lower()
        address = ADDRESSES.get(name)
        asked[f"dns {name}"] += 1
        answers = [address] if address and kind == 1 else []
        code = 0 if address else 3
        reply = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(answers), 0, 0) + question
        for it in answers:
            reply += struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(it)
        answer_to.sendto(reply, self.client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Metadata(Handler):
    def do_GET(self):
        if self.headers.get("Metadata-Flavor") != "Google":
            return self.answer(403)
        flavor = [("Metadata-Flavor", "Google")]
        path = self.path.partition("?")[0]
        if path.endswith("/instance/service-accounts/default/token"):
            asked["metadata token"] += 1
            token = {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}
            body = json.dumps(token).encode()
            return self.answer(200, body, [*flavor, ("Content-Type", "application/json")])
        if path.endswith("/universe/universe-domain"):
            return self.answer(200, b"googleapis.com", flavor)
        return self.answer(404, b"", flavor)


class Keys(Handler):
    def do_GET(self):
        if self.path != KEYS_PATH:
            return self.answer(404)
        asked["keys"] += 1
        body = pathlib.Path("tests/it/keys/issuer.jwks.json").read_bytes()
        self.answer(200, body, [("Cache-Control", "public, max-age=600")])


class Bucket(Handler):
    def admitted(self):
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            asked["bucket without the token"] += 1
            self.answer(403)
            return False
        return True

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.admitted():
            asked["bucket write"] += 1
            objects[self.path] = body
            self.answer(200, b"", [("ETag", '"1"')])

    def do_GET(self):
        if self.admitted():
            body = objects.get(self.path)
            when = ("Last-Modified", "Tue, 24 Nov 2026 00:00:00 GMT")
            self.answer(404) if body is None else self.answer(200, body, [("ETag", '"1"'), when])

    def do_DELETE(self):
        if self.admitted():
            self.answer(204 if objects.pop(self.path, None) is not None else 404)


class Tunnel(socketserver.BaseRequestHandler):
    """Ends TLS, and passes the bytes of HTTP/2 on to the local Firestore."""

    def handle(self):
        try:
            client = self.server.tls.wrap_socket(self.request, server_side=True)
        except (ssl.SSLError, OSError) as error:
            asked[f"firestore refused: {getattr(error, 'reason', None) or error}"] += 1
            return
        if client.selected_alpn_protocol() != "h2":
            asked["firestore without h2"] += 1
            return
        asked["firestore"] += 1
        upstream = socket.create_connection(self.server.upstream)
        threading.Thread(target=pipe, args=(upstream, client), daemon=True).start()
        pipe(client, upstream)


def pipe(source, target):
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
    except (OSError, ssl.SSLError):
        pass
    for it in (source, target):
        try:
            it.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Servers(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def start(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()


def context(folder):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return tls


def start_all(private, public, firestore):
    """Two folders with certificates: one's root is the operator's, the other's is in the bundle of the
    image. `firestore` is the address of the local Firestore."""
    start(socketserver.ThreadingUDPServer(("127.0.0.1", 53), Dns))
    start(http.server.ThreadingHTTPServer((ADDRESSES["metadata.google.internal"], 80), Metadata))
    for name, handler, folder in [
        ("www.googleapis.com", Keys, private),
        ("storage.googleapis.com", Bucket, public),
    ]:
        server = http.server.ThreadingHTTPServer((ADDRESSES[name], 443), handler)
        server.socket = context(folder).wrap_socket(server.socket, server_side=True)
        start(server)
    tunnel = Servers((ADDRESSES["firestore.googleapis.com"], 443), Tunnel)
    tunnel.tls = context(private)
    tunnel.tls.set_alpn_protocols(["h2"])
    tunnel.upstream = firestore
    start(tunnel)
