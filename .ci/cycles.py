#!/usr/bin/env python3
"""Finds files, and top-level modules, of a crate that import each other in a circle.

Reads `use` declarations and paths as text: `crate::a::B` and `super::B`. An item that a module file
re-exports counts as imported from the file that defines it. Unit tests do not count.

Usage: cycles.py SRC [SRC ...]   (each the src folder of a crate)
"""

import re
import sys
from pathlib import Path

# What a module file re-exports, by name, as the path of the module that it comes from.
USE = re.compile(r"^\s*(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", re.M)
PATH = re.compile(r"\b(crate(?:::\w+)+)")


def split(tree: str, prefix: tuple = ()):
    """The paths that a use tree names."""
    tree = tree.strip()
    brace = tree.find("{")
    if brace < 0:
        path = re.sub(r"\s+as\s+\w+$", "", tree)
        parts = tuple(part.strip() for part in path.split("::") if part.strip())
        if parts:
            yield prefix + parts
        return
    head = tuple(part.strip() for part in tree[:brace].split("::") if part.strip())
    depth, start, body = 0, 0, tree[brace + 1 : tree.rfind("}")]
    for index, symbol in enumerate(body + ","):
        if symbol == "{":
            depth += 1
        elif symbol == "}":
            depth -= 1
        elif symbol == "," and depth == 0:
            yield from split(body[start:index], prefix + head)
            start = index + 1


def module_of(file: Path, src: Path) -> tuple:
    parts = list(file.relative_to(src).with_suffix("").parts)
    if parts[-1] in ("mod", "lib", "main"):
        parts.pop()
    return tuple(parts)


def absolute(path: tuple, module: tuple, modules) -> tuple | None:
    """The path from the root of the crate; None if it leads out of the crate."""
    if path[0] == "crate":
        return path[1:]
    if path[0] in ("super", "self"):
        base = module
        while path and path[0] in ("super", "self"):
            base = base[:-1] if path[0] == "super" else base
            path = path[1:]
        return base + path
    return module + path if module + path[:1] in modules else None


class Crate:
    def __init__(self, src: Path):
        files = [file for file in src.rglob("*.rs") if not re.search(r"(^|/)tests(/|\.rs)", str(file.relative_to(src)))]
        self.modules = {module_of(file, src): file for file in files}
        self.exports: dict = {}
        self.imports: dict = {}
        for module, file in self.modules.items():
            text = re.split(r"#\[cfg\(test\)\]\s*mod tests", file.read_text())[0]
            text = re.sub(r"//[^\n]*", "", text)
            found = set()
            for public, tree in USE.findall(text):
                for path in split(tree):
                    target = absolute(path, module, self.modules)
                    if target is None:
                        continue
                    if public and target[: len(module)] == module:
                        self.exports.setdefault(module, {})[target[-1]] = target
                    else:
                        found.add(target)
            for path in PATH.findall(USE.sub("", text)):
                found.add(tuple(path.split("::"))[1:])
            self.imports[module] = found

    def home(self, path: tuple) -> tuple | None:
        """The module whose file defines what a path names."""
        for _ in range(10):
            for end in range(len(path), -1, -1):
                if path[:end] in self.modules:
                    module = path[:end]
                    break
            rest = path[len(module) :]
            exported = self.exports.get(module, {}).get(rest[0]) if rest else None
            if exported is None or exported == path:
                return module
            path = exported + rest[1:]
        return None

    def edges(self):
        for module, paths in self.imports.items():
            for path in paths:
                home = self.home(path)
                if home is not None and home != module:
                    yield module, home


def circles(edges):
    """Strongly connected components with more than one member (Tarjan)."""
    graph: dict = {}
    for a, b in edges:
        graph.setdefault(a, set()).add(b)
        graph.setdefault(b, set())
    index, low, stack, on, found = {}, {}, [], set(), []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        on.add(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in on:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = []
            while True:
                member = stack.pop()
                on.discard(member)
                component.append(member)
                if member == node:
                    break
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def main() -> int:
    failed = False
    for src in map(Path, sys.argv[1:]):
        crate = Crate(src)
        edges = list(crate.edges())
        # A module file that uses what its own parts define, and they its types, is one module.
        files = [(a, b) for a, b in edges if a[: len(b)] != b and b[: len(a)] != a]
        tops = [(a[:1], b[:1]) for a, b in edges if a[:1] != b[:1] and a and b]
        for kind, pairs in (("files", files), ("modules", tops)):
            for circle in circles(pairs):
                failed = True
                names = [ "::".join(member) or "the root" for member in circle]
                print(f"{src}: {kind} import each other in a circle: {', '.join(names)}")
                members = set(circle)
                for a, b in sorted(set(pairs)):
                    if a in members and b in members:
                        print(f"    {'::'.join(a)} -> {'::'.join(b)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.setrecursionlimit(10_000)
    sys.exit(main())
