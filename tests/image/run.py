"""Runs the service in the file system of its image, and watches it do what it does on Cloud Run.

    python3 tests/image/run.py TARGET_FOLDER PROFILE

`.ci/image` builds what this needs. See there.
"""

import base64
import fnmatch
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import google
import namespace
from dockerfile import Image

PROJECT = "f0-image"
PATIENCE_S = 60
DAY_MS = 86_400_000
COMPONENT = "router:gpt-5"
# The file of the observations that are 40 days old.
ARCHIVED = "/archive/of/years/observations/day=*/part-*.parquet"


def fail(why, log=None):
    if log and log.exists():
        print(log.read_text()[-6_000:], file=sys.stderr)
    sys.exit(f"image: {why}")


def openssl(*arguments, data=None):
    done = subprocess.run(["openssl", *map(str, arguments)], input=data, capture_output=True)
    if done.returncode != 0:
        fail(f"openssl {arguments[0]}: {done.stderr.decode()}")
    return done.stdout


def certificates(folder):
    """A root, and a certificate for Google's names that it signed."""
    folder.mkdir()
    names = ",".join(f"DNS:{name}" for name in google.TLS_NAMES)
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *new_key, "-keyout", folder / "root.key", "-out", folder / "root.pem",
            "-subj", f"/CN=A root of {folder.name}", "-days", "2",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign")
    openssl("req", *new_key, "-keyout", folder / "key.pem", "-out", folder / "request.pem",
            "-subj", "/CN=services")
    extensions = folder / "extensions"
    extensions.write_text(f"subjectAltName={names}\nbasicConstraints=CA:FALSE\n")
    openssl("x509", "-req", "-in", folder / "request.pem", "-CA", folder / "root.pem", "-CAkey",
            folder / "root.key", "-CAcreateserial", "-days", "2", "-extfile", extensions,
            "-out", folder / "certificate.pem")


def firebase_token(role):
    """An ID token as Firebase issues it, signed with the key whose public half `google` serves."""
    now = int(time.time())
    part = lambda value: base64.urlsafe_b64encode(value).rstrip(b"=")
    text = lambda value: part(json.dumps(value).encode())
    message = b".".join([
        text({"typ": "JWT", "alg": "RS256", "kid": "k1"}),
        text({"iss": f"https://securetoken.google.com/{PROJECT}", "aud": PROJECT, "sub": "ada",
              "iat": now - 10, "auth_time": now - 20, "exp": now + 3_600, "role": role}),
    ])
    signed = openssl("dgst", "-sha256", "-sign", "tests/it/keys/issuer.pem", data=message)
    return (message + b"." + part(signed)).decode()


def get(path, token=None):
    """The status and the body of an answer of the API; no status if there is none."""
    request = urllib.request.Request(f"http://127.0.0.1:8080{path}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return None, b""


def wait_for(what, holds, process, log):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if holds():
            print(f"image: {what}", flush=True)
            return
        if (status := process.poll()) is not None:
            fail(f"the service ended with status {status} before: {what}", log)
        time.sleep(0.2)
    fail(f"not within {PATIENCE_S} s: {what}; Google's copies were asked "
         f"{dict(google.asked)} and hold {list(google.objects)}", log)


def idle_connections(count):
    """Connections that send nothing, or half of a head."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * count), hard))
    connections = []
    for n in range(count):
        connections.append(socket.create_connection(("127.0.0.1", 8080), timeout=10))
        if n % 2:
            connections[-1].send(b"GET /healthz HTTP/1.1\r\n")
    return connections


def observations(path):
    now = int(time.time() * 1_000)
    lines = [
        {"id": f"{age}-{n}", "component": COMPONENT, "outcome": "success", "durationMs": 100,
         "ts": now - age * DAY_MS - 60_000 - n}
        for age in (0, 40) for n in range(5)
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")


def start_firestore(binary, folder):
    """A local Firestore, behind the tunnel; its port."""
    log = folder / "firestore.log"
    with open(log, "wb") as out:
        process = subprocess.Popen([binary, "--addr", "127.0.0.1:0"], stdout=out, stderr=out)
    for _ in range(300):
        line = log.read_text()
        if "listening on" in line:
            return int(line.split("listening on ")[1].split(";")[0].rsplit(":", 1)[1]), process
        if process.poll() is not None:
            break
        time.sleep(0.1)
    fail("the local Firestore did not start", log)


def inner(target, profile, folder):
    image = Image()
    built = target / ("debug" if profile == "dev" else profile)
    root = folder / "root"
    root.mkdir()
    image.assemble(root, built)
    print("image: " + ", ".join(sorted(str(it.relative_to(root)) for it in root.rglob("*") if it.is_file())))
    # What a container runtime adds, and a secret that the operator mounts.
    private, public = folder / "private", folder / "public"
    for it in (private, public):
        certificates(it)
    (root / "secrets").mkdir()
    shutil.copy(private / "root.pem", root / "secrets")
    # One more public root, which vouches for the bucket: the private one must add to the bundle.
    for _, bundle in [it for it in image.copies if it[0].endswith(".crt")]:
        with open(root / bundle.lstrip("/"), "a") as file:
            file.write((public / "root.pem").read_text())
    observations(root / "secrets" / "observations.ndjson")
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc" / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    for path in root.rglob("*"):
        if path.is_file() and path.parent.name != "bin":
            path.chmod(0o644)
    namespace.loopback_up()
    namespace.read_only(root)
    port, firestore = start_firestore(target / "debug" / "firestore-local", folder)
    google.start_all(private, public, ("127.0.0.1", port))

    environment = {**image.environment, "GOOGLE_CLOUD_PROJECT": PROJECT}
    trusting = {**environment, "SSL_CERT_FILE": "/secrets/root.pem"}

    def start(name, arguments, variables):
        log = folder / f"{name}.log"
        command = [*image.entrypoint, *arguments]
        return namespace.Process(root, image.user, image.group, command, variables, log), log

    def run(name, arguments, variables):
        process, log = start(name, arguments, variables)
        return process.wait(), log

    status, log = run("distrust", ["flags", "get"], environment)
    said = log.read_text()
    if status == 0 or "UnknownIssuer" not in said:
        fail(f"expected a server with an unknown root to be refused for it, got status {status}", log)
    print("image: a server that no root vouches for is refused")
    for name, arguments in [
        ("seed", ["seed"]),
        ("import", ["observations", "import", "/secrets/observations.ndjson"]),
    ]:
        status, log = run(name, arguments, trusting)
        if status != 0:
            fail(f"{name} failed with status {status}", log)
        print(f"image: {name}: {log.read_text().strip().splitlines()[-1]}")

    each_second = "* * * * * *"
    service, log = start("serve", image.arguments, {
        **trusting,
        "K_SERVICE": "f0-learning",
        "PORT": "8080",
        "FIREBASE_PROJECT_ID": PROJECT,
        "ARCHIVE_URL": "gs://archive/of/years",
        "SCORE_CRON": each_second,
        "RETAIN_CRON": each_second,
        "SCORE_SETTLE_MS": "0",
    })
    wait_for("/healthz answers", lambda: get("/healthz")[0] == 200, service, log)
    reader = firebase_token("service")
    wait_for("a Firebase token is accepted", lambda: get("/ops/flags", reader)[0] == 200, service, log)
    forged = reader[:-8] + "AAAAAAAA"
    if (status := get("/ops/flags", forged)[0]) != 401:
        fail(f"a forged token was answered {status}", log)

    def is_scored():
        status, body = get(f"/ops/stats?component={COMPONENT}", reader)
        items = json.loads(body)["items"] if status == 200 else []
        return any(it["window"] == "7d" and it["n"] == 5 for it in items)

    wait_for("the observations are scored", is_scored, service, log)

    def is_archived():
        names = [urllib.parse.unquote(path).partition("?")[0] for path in list(google.objects)]
        return any(fnmatch.fnmatch(name, ARCHIVED) for name in names)

    wait_for("an archive file is in the bucket", is_archived, service, log)
    wait_for("/readyz answers 200", lambda: get("/readyz")[0] == 200, service, log)
    idle = idle_connections(1_000)
    for _ in range(20):
        if get("/healthz")[0] != 200:
            fail("/healthz did not answer among 1,000 idle connections", log)
    if get("/ops/flags", reader)[0] != 200:
        fail("the API did not answer among 1,000 idle connections", log)
    print("image: /healthz and the API answer among 1,000 idle connections")
    for connection in idle:
        connection.close()
    for what in ["metadata token", "firestore", "keys", "bucket write"]:
        if not google.asked[what]:
            fail(f"{what}: never asked; {dict(google.asked)}", log)
    if google.asked["bucket without the token"]:
        fail("the bucket was asked without the metadata server's token", log)
    print(f"image: asked {dict(sorted(google.asked.items()))}")
    began = time.monotonic()
    os.kill(service.pid, signal.SIGTERM)
    status, took = service.wait(), time.monotonic() - began
    if status != 0 or took > 10:
        fail(f"SIGTERM: status {status} after {took:.1f} s", log)
    print(f"image: ended {took:.1f} s after SIGTERM")
    firestore.kill()
    firestore.wait()


def main():
    target, profile = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    if len(sys.argv) > 3:
        return inner(target, profile, pathlib.Path(sys.argv[3]))
    with tempfile.TemporaryDirectory() as folder:
        # Users that are not root must reach the file system of the image.
        os.chmod(folder, 0o755)
        child = os.fork()
        if child == 0:
            namespace.enter([__file__, str(target), profile, folder])
        _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
