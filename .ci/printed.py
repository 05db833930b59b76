"""Compiles the blocks of TypeScript, Python and Go of all pages of the repository.

A page's blocks of TypeScript are one module, because later ones use what the first one made. What a reader
has to bring along is declared in PROVIDED.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import tree_sitter
import tree_sitter_go

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLIENT = ROOT / "clients/typescript"

PROVIDED = """
declare const callModel: (model: string, prompt: string) => Promise<{ costUsd: number; tokens: number }>;
declare const NodeTracerProvider: new (options: { spanProcessors: { shutdown(): Promise<void> }[] }) => object;
"""


def blocks(page):
    """The language, the first line and the text of each fenced block."""
    found, opened = [], None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = re.match(r"\s*```(.*)", line)
        if fence and opened:
            found.append(opened)
            opened = None
        elif fence:
            opened = [fence[1].strip(), number + 1, ""]
        elif opened:
            opened[2] += line + "\n"
    return found


def python_faults(page, line, text):
    try:
        compile("\n" * (line - 1) + text, str(page), "exec")
    except SyntaxError as error:
        yield f"{page}, line {error.lineno}: {error.msg}"


def go_faults(page, line, text):
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_go.language()))
    tree = parser.parse(f"package main\nfunc printed() {{\n{text}}}\n".encode())
    if tree.root_node.has_error:
        yield f"{page}, line {line}: Go cannot be parsed"


def typescript_faults(modules):
    """Compiles a module for each page, all at once."""
    with tempfile.TemporaryDirectory(dir=CLIENT) as folder:
        folder = pathlib.Path(folder)
        for page, text in modules.items():
            name = re.sub(r"\W+", "-", str(page)) + ".ts"
            (folder / name).write_text(text + PROVIDED + "export {};\n")
        options = {"noEmit": True, "noUnusedLocals": False, "paths": {"f0-learning": ["../src/index.ts"]}}
        config = {"extends": "../tsconfig.json", "compilerOptions": options, "include": ["*.ts"]}
        (folder / "tsconfig.json").write_text(json.dumps(config))
        tsc = [CLIENT / "node_modules/.bin/tsc", "-p", folder]
        done = subprocess.run(tsc, capture_output=True, text=True)
        if done.returncode != 0:
            yield done.stdout


def main():
    pages = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    faults, modules, counts = [], {}, {"ts": 0, "python": 0, "go": 0}
    for page in map(pathlib.Path, pages.stdout.split()):
        for language, line, text in blocks(ROOT / page):
            if language in counts:
                counts[language] += 1
            if language == "python":
                faults += python_faults(page, line, text)
            elif language == "go":
                faults += go_faults(page, line, text)
            elif language == "ts":
                # The lines of the module are those of the page.
                before = modules.get(page, "")
                modules[page] = before + "\n" * (line - 1 - before.count("\n")) + text
    faults += typescript_faults(modules)
    if 0 in counts.values():
        faults.append(f"the pages print no block of a language: {counts}")
    if faults:
        sys.exit("\n".join(faults))
    print("compiled:", ", ".join(f"{count} blocks of {language}" for language, count in counts.items()))


if __name__ == "__main__":
    main()
