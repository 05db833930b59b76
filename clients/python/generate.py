"""Writes the types of ``schema.py`` from the JSON Schemas in ``docs/schema``: ``generate.py FILE``.

Needs the packages of ``generate.lock``.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

SCHEMAS = Path(__file__).parents[2] / "docs" / "schema"
HEADER = '''"""The documents of Firestore that components write and read.

Generated from docs/schema by clients/generate; do not edit it.
"""'''
#: What ``record_observation`` takes by position.
GIVEN = ("component", "outcome", "durationMs")


def plain(schema):
    """Without texts beside ``$ref``, which would make types of their own."""
    if isinstance(schema, list):
        return [plain(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    return {name: plain(it) for name, it in schema.items()}


def definitions():
    found = {}
    for name in ("observation", "policy"):
        schema = json.loads((SCHEMAS / f"{name}.json").read_text())
        found |= schema.pop("$defs")
        found[schema["title"]] = schema
    rest = {name: it for name, it in found["Observation"]["properties"].items() if name not in GIVEN}
    text = "The fields of an observation without component, outcome and duration."
    found["ObservationFields"] = {"type": "object", "description": text, "properties": rest}
    return plain(found)


def main(target):
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "components.json")
        # The root becomes an unused type `Model`.
        source.write_text(json.dumps({"$ref": "#/$defs/Policy", "$defs": definitions()}))
        command = [sys.executable, "-m", "datamodel_code_generator", "--input", str(source)]
        command += ["--input-file-type", "jsonschema", "--output", f"{folder}/schema.py"]
        command += ["--output-model-type", "typing.TypedDict", "--target-python-version", "3.11"]
        command += ["--enum-field-as-literal", "all", "--use-single-line-docstring"]
        command += ["--use-schema-description", "--use-field-description"]
        command += ["--formatters", "builtin", "--custom-file-header", HEADER]
        subprocess.run(command, check=True)
        types, _ = Path(folder, "schema.py").read_text().split("\n\n\nModel: TypeAlias")
        Path(target).write_text(f"{types}\n")


main(sys.argv[1])
