"""Compares what `serve` exports by OTLP, decoded with OpenTelemetry's own messages, with what /metrics shows.

otlp.py BINARY
"""

import http.server
import queue
import re
import subprocess
import sys
import threading
import urllib.request

from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2

from monitoring import free_port, until

# They move between a scrape and an export.
MOVING = re.compile(r"_(requests|operations|passes|retries|exports)_total$|_seconds(_sum|_count|_bucket)?$|_held$")


class Receiver(http.server.BaseHTTPRequestHandler):
    requests = queue.Queue()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        Receiver.requests.put((self.path, dict(self.headers), body))
        answer = metrics_service_pb2.ExportMetricsServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def labels_of(point):
    return tuple(sorted((it.key, it.value.string_value) for it in point.attributes))


def exported(metric):
    """The samples of a metric, as the text names them."""
    kind = metric.WhichOneof("data")
    if kind == "sum":
        assert metric.sum.is_monotonic and metric.name.endswith("_total"), metric.name
        assert metric.sum.aggregation_temporality == metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
    for point in getattr(metric, kind).data_points:
        assert 0 < point.start_time_unix_nano <= point.time_unix_nano, metric.name
        if kind != "histogram":
            yield metric.name, labels_of(point), point.as_double
            continue
        assert len(point.bucket_counts) == len(point.explicit_bounds) + 1, metric.name
        assert sum(point.bucket_counts) == point.count, metric.name
        yield f"{metric.name}_sum", labels_of(point), point.sum
        yield f"{metric.name}_count", labels_of(point), point.count


def shown(text):
    """The samples of a text of /metrics, without buckets."""
    for name, labels, value in re.findall(r"^(f0_\w+)(?:\{(.*)\})? (\S+)", text, re.M):
        if not name.endswith("_bucket"):
            yield name, tuple(sorted(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels))), float(value)


def main(binary):
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    store, port = free_port(), free_port()
    variables = {
        "PATH": "/usr/bin:/bin",
        "FIRESTORE_EMULATOR_HOST": f"127.0.0.1:{store}",
        "PORT": str(port),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.server_port}",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=a%20b",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        "OTEL_SERVICE_NAME": "learning",
    }
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen([binary, "firestore", "--addr", f"127.0.0.1:{store}"], **quiet)]
    try:
        processes.append(subprocess.Popen([binary, "serve"], env=variables, **quiet))
        metrics = lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
        until("serve is ready", 30, lambda: "\nf0_ready 1" in metrics())
        while not Receiver.requests.empty():
            Receiver.requests.get()
        path, headers, body = Receiver.requests.get(timeout=10)
        text = metrics()
        processes[1].terminate()
        processes[1].wait(20)
    finally:
        for process in processes:
            process.terminate()
            process.wait(20)
    headers = {name.lower(): value for name, value in headers.items()}
    assert path == "/v1/metrics", path
    assert headers["content-type"] == "application/x-protobuf", headers
    assert headers["x-tenant"] == "a b", headers
    request = metrics_service_pb2.ExportMetricsServiceRequest.FromString(body)
    [resource] = request.resource_metrics
    named = {it.key: it.value.string_value for it in resource.resource.attributes}
    assert named["service.name"] == "learning" and named["service.instance.id"], named
    [scope] = resource.scope_metrics
    here = {(name, labels): value for metric in scope.metrics for name, labels, value in exported(metric)}
    there = {(name, labels): value for name, labels, value in shown(text)}
    # Those of the receiver and of the first pass of a job may appear in between.
    missing = {key for key in there.keys() - here.keys() if not MOVING.search(key[0])}
    assert not missing and not here.keys() - there.keys(), (missing, here.keys() - there.keys())
    fixed = {key for key in here if not MOVING.search(key[0])}
    differ = {key: (here[key], there[key]) for key in fixed if here[key] != there[key]}
    assert fixed and len(here) > 20 and not differ, (len(here), differ)
    print(f"{len(here)} values exported by OTLP, as /metrics shows them")


if __name__ == "__main__":
    main(sys.argv[1])
