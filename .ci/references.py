#!/usr/bin/env python3
"""Checks that what the Markdown pages refer to exists: linked files, paths in code marks, and in
ARCHITECTURE.md also the tests that it names."""

import os
import re
import subprocess
import sys

PATH = re.compile(r"`((?:src|crates|tests|benches|docs|deploy|examples|\.ci)/[\w./-]+)`")
TEST = re.compile(r"`([a-z]+(?:_[a-z0-9]+){3,})`")


def main() -> int:
    pages = subprocess.run(
        ["git", "ls-files", "*.md"], capture_output=True, text=True, check=True
    ).stdout.split()
    missing = []
    for page in pages:
        text = open(page, encoding="utf-8").read()
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in link:
                target = os.path.normpath(os.path.join(os.path.dirname(page), link))
                missing += [(page, link)] if not os.path.exists(target) else []
        missing += [(page, path) for path in PATH.findall(text) if not os.path.exists(path)]
    sources = subprocess.run(
        ["git", "grep", "-hoE", r"fn [a-z0-9_]+\(", "--", "*.rs"],
        capture_output=True, text=True, check=True,
    ).stdout
    functions = set(re.findall(r"fn (\w+)\(", sources))
    for test in TEST.findall(open("ARCHITECTURE.md", encoding="utf-8").read()):
        missing += [("ARCHITECTURE.md", test)] if test not in functions else []
    for page, name in missing:
        print(f"{page} refers to {name}, which does not exist")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
