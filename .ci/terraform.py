"""Checks deploy/terraform without Terraform, whose providers are not needed for it.

check    parses each file, checks that what is referred to is declared and that each variable is used,
         and that indexes.tf has the indexes of firestore.indexes.json
write    writes indexes.tf
"""

import json
import pathlib
import re
import sys

import hcl2

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "deploy/terraform"
INDEXES = FOLDER / "indexes.tf"

# What begins a reference that is not to a resource.
BUILT_IN = {"each", "path", "rule", "terraform", "count", "self"}


def plain(value):
    """A value of the parser without the quotes that some of its versions keep."""
    if isinstance(value, str):
        return value.strip('"')
    if isinstance(value, dict):
        return {plain(key): plain(it) for key, it in value.items() if not key.startswith("__")}
    return [plain(it) for it in value] if isinstance(value, list) else value


def parsed():
    return {file.name: plain(hcl2.loads(file.read_text())) for file in sorted(FOLDER.glob("*.tf"))}


def aligned(lines):
    """The entries of a map, as `terraform fmt` aligns them."""
    width = max(map(len, lines))
    return [f'    "{key}"{" " * (width - len(key))} = {value}\n' for key, value in lines.items()]


def indexes():
    """The text of indexes.tf."""
    declared = json.loads((ROOT / "firestore.indexes.json").read_text())
    out = ["# Written by `.ci/terraform.py write` from firestore.indexes.json.\n"]
    out.append("locals {\n  indexes = {\n")
    lines = {}
    for index in declared["indexes"]:
        fields = [(it["fieldPath"], it["order"]) for it in index["fields"]]
        key = "-".join([index["collectionGroup"], *(f"{path}-{order.lower()}" for path, order in fields)])
        listed = ", ".join(f'{{ path = "{path}", order = "{order}" }}' for path, order in fields)
        lines[key] = f'{{ collection = "{index["collectionGroup"]}", fields = [{listed}] }}'
    out += aligned(lines)
    lines = {}
    out.append("  }\n\n  fields = {\n")
    for field in declared["fieldOverrides"]:
        orders = ", ".join(f'"{it["order"]}"' for it in field["indexes"])
        collection, path = field["collectionGroup"], field["fieldPath"]
        value = f'{{ collection = "{collection}", path = "{path}", orders = [{orders}] }}'
        lines[f"{collection}-{path}"] = value
    out += aligned(lines)
    out.append("""  }
}

resource "google_firestore_index" "composite" {
  for_each   = local.indexes
  database   = google_firestore_database.main.name
  collection = each.value.collection

  dynamic "fields" {
    for_each = each.value.fields

    content {
      field_path = fields.value.path
      order      = fields.value.order
    }
  }
}

resource "google_firestore_field" "single" {
  for_each   = local.fields
  database   = google_firestore_database.main.name
  collection = each.value.collection
  field      = each.value.path

  index_config {
    dynamic "indexes" {
      for_each = each.value.orders

      content {
        order = indexes.value
      }
    }
  }
}
""")
    return "".join(out)


def faults():
    files = parsed()
    resources, variables, locals_ = set(), set(), set()
    for body in files.values():
        for block in body.get("resource", []):
            resources |= {(kind, name) for kind, named in block.items() for name in named}
        variables |= {name for block in body.get("variable", []) for name in block}
        locals_ |= {name for block in body.get("locals", []) for name in block}
    text = "\n".join(
        re.sub(r"^\s*#.*$", "", file.read_text(), flags=re.M) for file in sorted(FOLDER.glob("*.tf"))
    )
    used = set(re.findall(r"\bvar\.(\w+)", text))
    yield from (f"variable {it} is not declared" for it in used - variables)
    yield from (f"variable {it} is not used" for it in variables - used)
    yield from (f"local {it} is not declared" for it in set(re.findall(r"\blocal\.(\w+)", text)) - locals_)
    for kind, name in set(re.findall(r"\b(google_\w+)\.(\w+)", text)) - resources:
        yield f"{kind}.{name} is not declared"
    for path in re.findall(r'file\("\$\{path\.module\}/([^"]+)"\)', text):
        if not (FOLDER / path).exists():
            yield f"{path} does not exist"
    if INDEXES.read_text() != indexes():
        yield "indexes.tf differs from firestore.indexes.json: run .ci/python .ci/terraform.py write"
    yield from differences_from_service()


def differences_from_service():
    """Terraform and deploy/service.yaml declare the same service."""
    yaml = (ROOT / "deploy/service.yaml").read_text()
    tf = (FOLDER / "service.tf").read_text()
    names = set(re.findall(r"^\s+- name: ([A-Z_]+)$", yaml, re.M))
    missing = names - set(re.findall(r'name\s+= "([A-Z_]+)"', tf))
    yield from (f"service.tf lacks the variable {it} of service.yaml" for it in missing)
    for what in ("512Mi", "/health"):
        if what not in yaml or what not in tf:
            yield f"only one of service.tf and service.yaml has {what}"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write"]:
            INDEXES.write_text(indexes())
        case ["check"]:
            found = sorted(faults())
            if found:
                sys.exit("deploy/terraform: " + "\n".join(found))
            print(f"{len(parsed())} files of deploy/terraform agree")
        case _:
            sys.exit(__doc__)
