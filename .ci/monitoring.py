"""What `.ci/monitoring` checks beyond promtool.

names         each metric in the dashboard and in the alerts is in docs/metrics.md; the policies of Cloud
              Monitoring are those of the alerts
cloud         writes these policies
live BINARY   a Prometheus scrapes a demo, finds these metrics, and sees a stopped job alert
"""

import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
MONITORING = ROOT / "deploy/monitoring"
NAME = re.compile(r"\bf0_[a-z0-9_]+")

# These appear only after something happened that the demo does not do within a minute.
EVENTS = {
    "f0_observations_rejected_total",
    "f0_observations_malformed_total",
    "f0_policy_reward_change",
    "f0_policy_convergence_seconds",
}


def documented():
    """The names of docs/metrics.md, as they are in samples."""
    names = set()
    for line in (ROOT / "docs/metrics.md").read_text().splitlines():
        row = re.match(r"\| `(f0_\w+)` \| (\w+) \|", line)
        if row:
            name, kind = row.groups()
            names |= {f"{name}_{it}" for it in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return names


def used():
    """Where each metric is used."""
    texts = {
        "alerts.yaml": (MONITORING / "alerts.yaml").read_text(),
        "alerts_test.yaml": (MONITORING / "alerts_test.yaml").read_text(),
        "dashboard.json": (MONITORING / "dashboard.json").read_text(),
    }
    return {name: file for file, text in texts.items() for name in NAME.findall(text)}


def policies():
    """The alerts as policies of Cloud Monitoring, by the name of the file."""
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"][0]["rules"]
    made = {}
    for rule in rules:
        seconds = re.sub(r"(\d+)([mh])", lambda it: str(int(it[1]) * {"m": 60, "h": 3600}[it[2]]), rule["for"])
        condition = {
            "displayName": rule["alert"],
            "conditionPrometheusQueryLanguage": {
                "query": rule["expr"].strip(),
                "duration": f"{seconds}s",
                "evaluationInterval": "60s",
                "alertRule": rule["alert"],
                "ruleGroup": "f0-learning",
            },
        }
        page = rule["labels"]["severity"] == "page"
        policy = {
            "displayName": rule["alert"],
            "combiner": "OR",
            "severity": "CRITICAL" if page else "WARNING",
            "conditions": [condition],
            "documentation": {"content": rule["annotations"]["runbook"], "mimeType": "text/markdown"},
        }
        made[f"{rule['alert']}.json"] = json.dumps(policy, indent=2) + "\n"
    return made


def write_policies():
    for old in (MONITORING / "cloud").glob("*.json"):
        old.unlink()
    for file, text in policies().items():
        (MONITORING / "cloud" / file).write_text(text)


def check_names():
    stored = {it.name: it.read_text() for it in (MONITORING / "cloud").glob("*.json")}
    if stored != policies():
        sys.exit("deploy/monitoring/cloud differs from alerts.yaml: run .ci/python .ci/monitoring.py cloud")
    unknown = {f"{file}: {name}" for name, file in used().items() if name not in documented()}
    if unknown:
        sys.exit("metrics that the service does not export:\n" + "\n".join(sorted(unknown)))
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    empty = [it["title"] for it in panels if it["type"] != "row" and not it["targets"]]
    if empty:
        sys.exit(f"panels without a query: {empty}")
    anchors = set(re.findall(r"docs/runbook\.md#([a-z-]+)", (MONITORING / "alerts.yaml").read_text()))
    titles = re.findall(r"^## (.+)$", (ROOT / "docs/runbook.md").read_text(), re.M)
    known = {re.sub(r"[^a-z0-9 -]", "", it.lower()).replace(" ", "-") for it in titles}
    if anchors - known:
        sys.exit(f"docs/runbook.md has no section for {sorted(anchors - known)}")
    print(f"{len(used())} metrics of rules and dashboard are documented")


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def ask(url, data=None, method=None):
    request = urllib.request.Request(url, data=data, method=method)
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.read()


def until(what, seconds, found):
    """Waits for a true answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            answer = found()
            if answer:
                return answer
        except OSError:
            pass
        time.sleep(0.5)
    sys.exit(f"not within {seconds} s: {what}")


def hurried(folder):
    """A copy of the rules whose alert for stopped jobs waits for seconds."""
    rules = (MONITORING / "alerts.yaml").read_text()
    start = rules.index("- alert: F0JobStopped")
    end = rules.index("- alert:", start + 1)
    stopped = rules[start:end].replace("> 300\n", "> 12\n").replace("for: 2m", "for: 3s")
    if stopped.count("> 12\n") != 1 or "for: 3s" not in stopped:
        sys.exit("alerts.yaml: F0JobStopped is not as this check expects it")
    file = folder / "alerts.yaml"
    file.write_text(rules[:start] + stopped + rules[end:])
    return file


def live(binary):
    folder = pathlib.Path(tempfile.mkdtemp())
    service, store, own = free_port(), free_port(), free_port()
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(hurried(folder))],
        "scrape_configs": [
            {"job_name": "f0-learning", "static_configs": [{"targets": [f"127.0.0.1:{service}"]}]}
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    # No server listens at this address, so that each notification fails.
    variables = {"PATH": "/usr/bin:/bin", "NOTIFY_WEBHOOK_URL": "http://127.0.0.1:9/"}
    demo = [binary, "dev", "--demo", "--firestore-addr", f"127.0.0.1:{store}", "--port", str(service)]
    prometheus = [
        "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{own}", "--log.level=error",
    ]
    with open(folder / "demo.log", "w") as log:
        processes = [
            subprocess.Popen(demo, env=variables, stdout=log, stderr=log),
            subprocess.Popen(prometheus),
        ]
    try:
        watch(f"http://127.0.0.1:{own}/api/v1", folder / "demo.log")
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)
        shutil.rmtree(folder)


def watch(api, log):
    def query(expression):
        answer = ask(f"{api}/query?" + urllib.parse.urlencode({"query": expression}))
        return json.loads(answer)["data"]["result"]

    def alerts():
        found = json.loads(ask(f"{api}/alerts"))["data"]["alerts"]
        return {(it["labels"]["alertname"], it["labels"].get("job_name")): it["state"] for it in found}

    until("the demo is scored", 60, lambda: query('sum(f0_observations_scored_total) > 100'))
    wanted = {name for name in used() if name not in EVENTS and "failures" not in name}
    missing = lambda: sorted(name for name in wanted if not query(f"count({name})"))
    until("each metric has a value", 30, lambda: not missing())
    print(f"{len(wanted)} metrics have values")
    # A scrape may be missed on a busy machine, after which some alerts are pending.
    before = [key for key, state in alerts().items() if state == "firing"]
    if before:
        sys.exit(f"alerts without a cause: {before}")

    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    for panel in panels:
        for target in panel.get("targets", []):
            # An invalid expression is answered with 400, which is an error here.
            query(target["expr"].replace("$component", ".*").replace("$policy", ".*"))
    print("each query of the dashboard is valid")

    # From here on scoring cannot commit.
    plan = {"rules": [{"rpc": "Commit", "collection": "ops_state",
                       "fault": {"kind": "refuse", "code": "PERMISSION_DENIED"}}]}
    meter = re.search(r"http://[^/]+/meter", log.read_text()).group().removesuffix("/meter")
    ask(f"{meter}/faults", json.dumps(plan).encode(), "PUT")
    fires = lambda: alerts().get(("F0JobStopped", "score")) == "firing"
    until("the alert for the stopped job fires", 40, fires)
    firing = [key for key, state in alerts().items() if state == "firing"]
    others = [key for key in firing if key[0] == "F0JobStopped" and key[1] != "score"]
    if others:
        sys.exit(f"alerts for jobs that run: {others}")
    until("the failures are counted", 5, lambda: query('f0_firestore_failures_total{code="PermissionDenied"}'))
    print("F0JobStopped fires for score")

    ask(f"{meter}/faults", method="DELETE")
    until("the alert ends", 20, lambda: ("F0JobStopped", "score") not in alerts())
    print("and ends after the repair")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["names"]:
            check_names()
        case ["cloud"]:
            write_policies()
        case ["live", binary]:
            live(binary)
        case _:
            sys.exit(__doc__)
