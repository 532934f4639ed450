"""Study files that are changed at random: a valid study, or one line that says where and what."""

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sgt.errors import SgtError
from sgt.study.load import load_study
from tests.conftest import GENERATION, MODEL, OMNIGEN2, STUDY, write_study

FILES = {
    "config/micro.yaml": {
        **STUDY,
        "models": [MODEL["name"], OMNIGEN2["name"]],
        "results": "results/micro",
        "proxies": {"segmentation": {"task": "segmentation", "colours": 12}, "edge": {"task": "edge"}},
        "variants": {"half": {"proxy": "edge", "ratio": [1, 1], "batch": 4}},
    },
    f"config/models/{MODEL['name']}.yaml": MODEL,
    f"config/models/{OMNIGEN2['name']}.yaml": OMNIGEN2,
    "config/benchmarks/toyworld-gen.yaml": GENERATION,
}
# Reading a study takes as long as a hundred masks.
EXAMPLES = 40
# What people write by mistake; names that mean something elsewhere in a study, so that some changes are nearly right.
WORDS = [
    "", "a", "..", "/", "a/b", "a\nb", "\u2028", "base", "sft", "edge", "scenes", "micro", "bagel", "cpu", "{model}",
]  # fmt: skip
SCALARS = (
    st.sampled_from([None, True, False, 0, 1, -1, 2, 6, 48, 10**9, 2**63, 10**400, 1.5, -0.0, 1e-300, 1e300])
    | st.sampled_from([float("inf"), float("nan")])
    | st.sampled_from(WORDS)
    | st.integers(-10, 100)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """A folder with a valid study, which is the working directory."""
    root = tmp_path_factory.mktemp("changed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_study(root)
        for file, content in FILES.items():
            Path(file).write_text(yaml.safe_dump(content))
        load_study("config/micro.yaml")
        yield root


def valid_or_refused(file: str, text: str) -> None:
    """Read the study with another text in one of its files, which then is as it was."""
    path = Path(file)
    before = path.read_text()
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        study = load_study("config/micro.yaml")
        assert study.runs and study.screened_datasets
    except SgtError as error:
        assert len(str(error).splitlines()) == 1 and error.where and error.problem and error.remedy
    finally:
        path.write_text(before)


def places(content: object, above: tuple = ()) -> list[tuple]:
    """The path of every value within a value."""
    inner = enumerate(content) if isinstance(content, list) else content.items() if isinstance(content, dict) else ()
    return [place for key, value in inner for place in [(*above, key), *places(value, (*above, key))]]


def change(content: dict, data: st.DataObject) -> None:
    """Set, take away, add or swap one of its values."""
    found = places(content)
    if not found:
        return
    *parents, last = data.draw(st.sampled_from(found))
    inner = content
    for parent in parents:
        inner = inner[parent]
    match data.draw(st.sampled_from(["set", "remove", "add", "swap"])):
        case "set":
            inner[last] = data.draw(VALUES)
        case "remove":
            del inner[last]
        case "add" if isinstance(inner, dict):
            inner[data.draw(st.sampled_from([*WORDS, *(str(place[-1]) for place in found)]))] = data.draw(VALUES)
        case "add":
            inner.insert(last, data.draw(VALUES))
        case "swap":
            other = content
            for key in data.draw(st.sampled_from(found)):
                other = other[key]
            inner[last] = copy.deepcopy(other)


@pytest.mark.parametrize("file", FILES)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_changed_values_are_valid_or_refused_in_one_line(file, data):
    content = copy.deepcopy(FILES[file])
    for _ in range(data.draw(st.integers(1, 2))):
        change(content, data)
    valid_or_refused(file, yaml.safe_dump(content))


TEXT = yaml.safe_dump(FILES["config/micro.yaml"])
PIECES = [
    "\t", "\n", ":", "- ", "[", "{", "}", "&a ", "*a", "!", "<<: ", "'", '"', "#", "%", "|\n", "? ", "? [a]\n: b",
    "!!python/name:os.system ", "\0", "\ufeff", "\ud800", "1e999",
]  # fmt: skip


@settings(max_examples=EXAMPLES)
@given(st.integers(0, len(TEXT)), st.integers(0, 12), st.sampled_from(PIECES) | st.text(max_size=4))
@example(0, len(TEXT), "a: " * 2000)
@example(0, len(TEXT), "[" * 5000)
@example(0, len(TEXT), "a: &a [x]\nb: *a\n")
@example(0, len(TEXT), "a: &a [*a]\n")
def test_changed_text_is_valid_or_refused_in_one_line(start, length, piece):
    valid_or_refused("config/micro.yaml", TEXT[:start] + piece + TEXT[start + length :])
