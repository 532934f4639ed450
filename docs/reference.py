"""The generated pages of the site: the command line from its parsers, study files from their pydantic models."""

import importlib
import inspect
import io
import json
import os
import pkgutil
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import sgt
from sgt.commands.main import COMMANDS, make_parser
from sgt.extras import EXTRAS, OWN_ENVIRONMENT, SEPARATE

INTRODUCTION = """What YAML files may contain: the type, default and meaning of each field. Any other field is an error.
[Configuration](../configuration.md) explains which files there are."""
# The class of each file's content.
FILES = {
    "StudyFile": "A study: config/NAME.yaml",
    "Model": "A model: config/models/NAME.yaml",
    "Benchmark": "A benchmark: config/benchmarks/NAME.yaml",
    "LinearProbes.Options": "An analysis `probe`: an entry of a study's `analyses`",
    "Attend.Options": "An analysis `attend`: an entry of a study's `analyses`",
    "MeanAblations.Options": "An analysis `ablate`: an entry of a study's `analyses`",
    "Downloads": "The table of downloads: config/data/downloads.yaml",
}
BOUNDS = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
# Other rooms have models of records, whose names may be the same.
OF_FILES = ("sgt.config", "sgt.proxies", "sgt.study", "sgt.evaluation", "sgt.analysis")


def command_line() -> str:
    """The page of the command line: the help of ``sgt`` and of each command."""
    os.environ["COLUMNS"] = "100"
    parts = ["# Command line", _help("--help"), *(f"## sgt {name}\n\n{_help(name, '--help')}" for name in COMMANDS)]
    return "\n\n".join(parts) + "\n"


def _help(*words: str) -> str:
    shown = io.StringIO()
    with redirect_stdout(shown), suppress(SystemExit):
        make_parser(*words).parse_args(words)
    return f"```text\n{shown.getvalue().rstrip()}\n```"


def fields() -> str:
    """The page of configuration files: each field's type, default and meaning."""
    models = _models()
    names, definitions = models_json_schema([(model, "validation") for model in models.values()])
    names_of = {names[model, "validation"]["$ref"]: name for name, model in models.items()}
    schemas = {name: definitions["$defs"][ref.rsplit("/", 1)[1]] for ref, name in names_of.items()}
    parts, written = [f"# Fields of configuration files\n\n{INTRODUCTION}"], set()
    for root, file in FILES.items():
        parts.append(f"## {file}")
        for name in (name for name in _reached(root, schemas, names_of) if name not in written):
            written.add(name)
            about = (inspect.getdoc(models[name]) or "").replace("``", "`")
            parts.append(f"### {name} {{#{_anchor(name)}}}\n\n{about}\n\n{_table(schemas[name], names_of)}")
    return "\n\n".join(parts) + "\n"


def _models() -> dict[str, type[BaseModel]]:
    """Every pydantic model of the rooms that configuration files are of, by its qualified name in its module."""
    for module in pkgutil.walk_packages(sgt.__path__, "sgt."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            # No file of a study has fields of what is installed apart.
            library = (error.name or "").partition(".")[0]
            if library not in SEPARATE and EXTRAS.get(library) not in OWN_ENVIRONMENT:
                raise
    found, waiting = {}, [BaseModel]
    while waiting:
        for model in waiting.pop().__subclasses__():
            waiting.append(model)
            if model.__module__.startswith(OF_FILES):
                found[model.__qualname__] = model
    return found


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        # The mapping of a discriminator repeats what `oneOf` lists.
        for value in (value for key, value in schema.items() if key != "discriminator"):
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _reached(root: str, schemas: dict[str, dict], names_of: dict[str, str]) -> list[str]:
    """A model and all that its fields refer to, breadth first."""
    found = [root]
    for name in found:
        found += [names_of[ref] for ref in dict.fromkeys(_references(schemas[name])) if names_of[ref] not in found]
    return found


def _table(schema: dict, names_of: dict[str, str]) -> str:
    if "properties" not in schema:
        return f"The file is a {_type(schema, names_of)}."
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name, field in schema["properties"].items():
        default = "required" if name in schema.get("required", ()) else f"`{json.dumps(field.get('default'))}`"
        cells = (f"`{name}`", _type(field, names_of), default, field.get("description", ""))
        rows.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(rows)


def _type(schema: dict, names_of: dict[str, str]) -> str:
    """A JSON schema in words, with links to the sections of other models."""
    if "$ref" in schema:
        name = names_of[schema["$ref"]]
        return f"[{name}](#{_anchor(name)})"
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_type(option, names_of) for option in options)
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema.get("enum", [schema.get("const")]))
    match schema.get("type"):
        case "array" if "prefixItems" in schema:
            return "[" + ", ".join(_type(item, names_of) for item in schema["prefixItems"]) + "]"
        case "array":
            return f"list of {_type(schema.get('items', {}), names_of)}"
        case "object":
            values = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
            return f"mapping of names to {_type(values[0] if isinstance(values[0], dict) else {}, names_of)}"
        case None:
            return "any value"
        case kind:
            bounds = [f"{sign} {schema[key]}" for key, sign in BOUNDS.items() if key in schema]
            return " ".join([kind, ", ".join(bounds)]).strip()


def _anchor(name: str) -> str:
    return name.lower().replace(".", "-")
