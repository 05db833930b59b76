"""The parts of a release that .github/workflows/release.yml leaves to a script.

version TAG                 the versions of all packages are that of the tag
archive BINARY TARGET DIR   BINARY as an archive for people to download
sums DIR                    SHA256SUMS of the files of a folder
notes TAG                   the section of the version in CHANGELOG.md
check                       the workflows are valid: what they need and call exists
"""

import hashlib
import json
import pathlib
import re
import sys
import tarfile
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent


def versions():
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())
    python = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text())
    typescript = json.loads((ROOT / "clients/typescript/package.json").read_text())
    return {
        "Cargo.toml": cargo["workspace"]["package"]["version"],
        "clients/python/pyproject.toml": python["project"]["version"],
        "clients/typescript/package.json": typescript["version"],
    }


def check_version(tag):
    wrong = {file: it for file, it in versions().items() if f"v{it}" != tag}
    if wrong:
        sys.exit(f"the tag is {tag}, but the versions are {wrong}")
    section(tag)


def section(tag):
    """The changes of a version."""
    text = (ROOT / "CHANGELOG.md").read_text()
    found = re.search(rf"^## \[{re.escape(tag.removeprefix('v'))}\].*?\n(.*?)(?=^## \[|\Z)", text, re.M | re.S)
    if not found or not found[1].strip():
        sys.exit(f"CHANGELOG.md has no section for {tag}")
    return found[1].strip() + "\n"


def archive(binary, target, folder):
    version = versions()["Cargo.toml"]
    name = f"f0-learning-{version}-{target}"
    folder = pathlib.Path(folder)
    folder.mkdir(exist_ok=True)
    files = {"f0-learning": pathlib.Path(binary)}
    files |= {it: ROOT / it for it in ("README.md", "LICENSE", "CHANGELOG.md")}
    with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as out:
        for as_name, file in files.items():
            out.add(file, f"{name}/{as_name}")
    print(folder / f"{name}.tar.gz")


def sums(folder):
    folder = pathlib.Path(folder)
    files = sorted(it for it in folder.iterdir() if it.is_file() and it.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(it.read_bytes()).hexdigest()}  {it.name}\n" for it in files]
    (folder / "SHA256SUMS").write_text("".join(lines))


def check():
    import yaml

    faults = []
    for file in sorted((ROOT / ".github/workflows").glob("*.yml")):
        jobs = yaml.safe_load(file.read_text())["jobs"]
        for name, job in jobs.items():
            place = f"{file.name}, job {name}"
            faults += [f"{place}: needs {it}" for it in job.get("needs", []) if it not in jobs]
            if "timeout-minutes" not in job:
                faults.append(f"{place}: no timeout")
            for step in job["steps"]:
                if ("run" in step) == ("uses" in step):
                    faults.append(f"{place}: a step has neither or both of run and uses")
                if "uses" in step and "@" not in step["uses"]:
                    faults.append(f"{place}: {step['uses']} has no version")
                for called in re.findall(r"(?:^|\s)(\.ci/[\w.]+)", step.get("run", "")):
                    if not (ROOT / called).exists():
                        faults.append(f"{place}: {called} does not exist")
    if len(set(versions().values())) != 1:
        faults.append(f"the packages have different versions: {versions()}")
    if faults:
        sys.exit("\n".join(faults))
    print("the workflows and the versions of the packages agree")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["version", tag]:
            check_version(tag)
        case ["archive", binary, target, folder]:
            archive(binary, target, folder)
        case ["sums", folder]:
            sums(folder)
        case ["notes", tag]:
            print(section(tag), end="")
        case ["check"]:
            check()
        case _:
            sys.exit(__doc__)
