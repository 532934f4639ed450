"""Reading the YAML files of a study: one loader, and a one-line error for a file that is not valid.

Numbers, booleans and null are those of YAML 1.2, as people write them: ``1e-3`` is a number, ``no`` and ``1:30`` are
texts, ``010`` is ten. A key that is given twice is an error.
"""

import json
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from sgt.errors import SgtError

Spec = TypeVar("Spec", bound=BaseModel)

# Keys of earlier versions, with what stands in their place.
RENAMED = {
    "interval": "cfg_interval",
    "keep": "keep_last",
    "max_tokens": "max_tokens_per_pack",
    "points": "num_steps, which is one less",
    "prompts": "samples",
    "recompute": "activation_checkpointing",
    "text_scale": "cfg_text_scale",
    "watch": "logging",
    "weights": "sampling_weights",
}

_TAG = "tag:yaml.org,2002:"
# Tag, the texts that have it, and the characters they begin with.
_SCALARS = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9][0-9_]*", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.")),
    ("merge", r"<<", ["<"]),
)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with those scalars and without double keys."""

    yaml_implicit_resolvers: dict = {}  # noqa: RUF012 (add_implicit_resolver fills it)

    # ``anchor`` is text or None; PyYAML's types have a mapping there.
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping as it is written, before merge keys bring in others.

        Raises:
            yaml.MarkedYAMLError: a key is given twice.
        """
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in lines:
                problem = f"the key {key.value!r} is given twice, first in line {lines[key.value]}"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            lines[key.value] = key.start_mark.line + 1
        return node


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node).replace("_", ""))


for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), _first)
_Loader.add_constructor(_TAG + "int", _integer)


def load_yaml(path: Path) -> Any:
    """What a YAML file holds: text, numbers, booleans, null, lists and mappings.

    Raises:
        SgtError: it is missing, cannot be read, or is not YAML; with the line.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise SgtError(path, "no such file", "check the name, or write it") from None
    except OSError as error:
        raise SgtError(path, f"cannot be read ({error.strerror})", "name a file that you may read") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}" if error.problem_mark else "the file"
        raise SgtError(f"{path}: {line}", f"not valid YAML ({error.problem})", "fix the syntax") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SgtError(path, f"not valid YAML ({' '.join(str(error).split())})", "fix the syntax") from None


def read_yaml(path: Path, kind: type[Spec]) -> Spec:
    """A YAML file as what it should hold. No value is converted: a text is no number, and true is none either.

    Raises:
        SgtError: one line naming the file, the field and the remedy.
    """
    content = load_yaml(path)
    try:
        text = json.dumps(content)
    except (TypeError, ValueError, RecursionError) as error:
        raise SgtError(path, f"not a study's values ({error})", "use texts, numbers, lists and mappings") from None
    try:
        # As JSON, in which a list may be a tuple even where nothing is converted.
        return kind.model_validate_json(text, strict=True)
    except ValidationError as error:
        field, problem, remedy = first_fault(kind, error)
        raise SgtError(f"{path}: {field}" if field else path, problem, remedy) from None


def first_fault(kind: type[BaseModel], error: ValidationError) -> tuple[str, str, str]:
    """The field, problem and remedy of pydantic's first error; a renamed key comes before all others."""
    faults = error.errors(include_url=False)
    renamed = [fault for fault in faults if fault["type"] == "extra_forbidden" and str(fault["loc"][-1]) in RENAMED]
    first = (renamed or faults)[0]
    field = ".".join(str(part) for part in first["loc"])
    if renamed:
        return field, f"is now called {RENAMED[str(first['loc'][-1])]}", "rename it"
    match first["type"]:
        case "extra_forbidden":
            return field, "unknown key", "remove it, or check its spelling against `sgt schema`"
        case "missing":
            return field, "missing", "add it"
        case "value_error":
            problem, _, remedy = first["msg"].removeprefix("Value error, ").partition(": ")
            return field, problem if not remedy else f"{problem}: {remedy}", "fix the study"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    given = repr(first["input"])
    given = given if len(given) <= 200 else f"{given[:200]}…"
    return field, f"{first['msg']}, got {given}{more}", f"see `sgt schema` for what {kind.__qualname__} takes"
