"""What deploy/Dockerfile says: how the binary is built, and what the last stage holds.

An instruction that is not known here is an error: the test would no longer run what the image runs.
"""

import json
import pathlib
import shutil
import sys

DOCKERFILE = pathlib.Path("deploy/Dockerfile")
# Where the build stage keeps the build's results.
BUILT = "/src/target/dist/"


def instructions(text):
    """Stages in order, each a list of (instruction, arguments)."""
    stages = []
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.endswith("\\"):
            sys.exit("deploy/Dockerfile: an instruction must be one line, for this test to read it")
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, rest.strip()))
    return stages


def build_command(profile):
    """The command of the build stage, with another profile."""
    build = instructions(DOCKERFILE.read_text())[0]
    commands = [rest for word, rest in build if word == "RUN"]
    if len(commands) != 1 or "--profile dist" not in commands[0]:
        sys.exit(f"deploy/Dockerfile: expected one RUN with `--profile dist`, got {commands}")
    return commands[0].replace("--profile dist", f"--profile {profile}")


class Image:
    """The last stage."""

    def __init__(self):
        self.copies = []
        self.environment = {}
        self.user = self.entrypoint = self.arguments = None
        for word, rest in instructions(DOCKERFILE.read_text())[-1]:
            match word:
                case "FROM":
                    if rest != "scratch":
                        sys.exit(f"deploy/Dockerfile: expected FROM scratch, got FROM {rest}")
                case "COPY":
                    stage, source, target = rest.split()
                    if stage != "--from=build":
                        sys.exit(f"deploy/Dockerfile: expected COPY --from=build, got {rest}")
                    self.copies.append((source, target))
                case "USER":
                    self.user, self.group = (int(it) for it in rest.split(":"))
                case "ENV":
                    self.environment.update(pair.split("=", 1) for pair in rest.split())
                case "ENTRYPOINT":
                    self.entrypoint = json.loads(rest)
                case "CMD":
                    self.arguments = json.loads(rest)
                case _:
                    sys.exit(f"deploy/Dockerfile: this test does not know {word}")
        if not self.user:
            sys.exit("deploy/Dockerfile: expected a USER that is not root")

    def assemble(self, root, built):
        """Writes the files of the image below `root`; the build's results are in the folder `built`."""
        for source, target in self.copies:
            path = root / target.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            if source.startswith(BUILT):
                source = built / source.removeprefix(BUILT)
            shutil.copy(source, path)
        for path in [root, *root.rglob("*")]:
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)


if __name__ == "__main__":
    assert sys.argv[1] == "build-command"
    print(build_command(sys.argv[2]))
