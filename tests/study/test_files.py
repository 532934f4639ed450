"""One reading of YAML, whatever reads a study."""

import re
from pathlib import Path

import pytest
import yaml

from sgt.config.files import load_yaml
from sgt.errors import SgtError
from sgt.study.load import load_study


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "+1e-3", ".1e-2", "0.001", "1.0e-3", "0_0.001"])
def test_a_learning_rate_is_the_number_it_is_however_it_is_written(text, checked, written):
    path = written()
    path.write_text(path.read_text().replace("lr: 0.001", f"lr: {text}"))
    assert f"lr: {text}" in path.read_text()
    checked.valid(path)
    assert load_study(path).study.recipe.optimizer.lr == 0.001


def test_scalars_are_those_of_yaml_1_2(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(
        "numbers: [1e3, -1E+3, 5., 010, 08, 1_000]\ntexts: [no, on, 1:30, 2024-01-01, '1', 1.2.3, 0x1f]\n"
        "others: [true, null, ~]\nbase: &base {a: 1, b: 2}\nmerged: {<<: *base, b: 3}\n"
    )
    assert load_yaml(path) == {
        "numbers": [1000.0, -1000.0, 5.0, 10, 8, 1000],
        "texts": ["no", "on", "1:30", "2024-01-01", "1", "1.2.3", "0x1f"],
        "others": [True, None, None],
        "base": {"a": 1, "b": 2},
        "merged": {"a": 1, "b": 3},
    }


@pytest.mark.parametrize(
    ("before", "after", "field", "said"),
    [
        ("steps: 6", "steps: true", "recipe.steps", "valid integer, got True"),
        ("steps: 6", "steps: '6'", "recipe.steps", "valid integer, got '6'"),
        ("steps: 6", "steps: 6.0", "recipe.steps", "valid integer, got 6.0"),
        ("lr: 0.001", "lr: '0.001'", "recipe.optimizer.lr", "valid number, got '0.001'"),
        ("lr: 0.001", "lr: true", "recipe.optimizer.lr", "valid number, got True"),
        ("lr: 0.001", "lr: .nan", "recipe.optimizer.lr", "finite number"),
        ("lr: 0.001", "lr: .inf", "recipe.optimizer.lr", "finite number"),
        ("lr: 0.001", "lr: 1e999", "recipe.optimizer.lr", "finite number"),
        ("warmup: 2", "betas: [0.9, 1]", "recipe.optimizer.betas.1", "less than 1"),
        ("warmup: 2", "eps: 1e-8x", "recipe.optimizer.eps", "valid number"),
        ("name: micro", "name: no", "name", None),
    ],
)
def test_no_value_is_taken_for_another_kind(before, after, field, said, checked, written):
    path = written()
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    if said is None:
        assert "study no: valid" in checked.valid(path)[0]
    else:
        checked.refused(path, f"{path}: {field}", said)


@pytest.mark.parametrize(
    ("more", "line", "said"),
    [
        ("name: other\n", "line 2", "the key 'name' is given twice, first in line 1"),
        ("recipe: {steps: 1, batch: 3, steps: 2}\n", "line 2", "the key 'steps' is given twice"),
        ("arms:\n- sft\narms: [sft]\n", "line 4", "the key 'arms' is given twice, first in line 2"),
        ("x: !!python/object/apply:os.system [id]\n", "line 2", "not valid YAML"),
        ("\tname: x\n", "line 2", "not valid YAML"),
    ],
)
def test_a_fault_of_syntax_is_told_with_its_line(more, line, said, checked):
    path = Path("x.yaml")
    path.write_text("name: micro\n" + more)
    checked.refused(path, f"{path}: {line}", said)


def test_what_is_no_file_of_a_study_is_one_line(checked):
    checked.refused(Path("missing.yaml"), "missing.yaml", "no such file")
    Path("folder.yaml").mkdir()
    checked.refused(Path("folder.yaml"), "folder.yaml", "cannot be read")
    Path("loop.yaml").write_text("&a [*a]")
    checked.refused(Path("loop.yaml"), "loop.yaml", "Circular reference")
    Path("deep.yaml").write_text("[" * 5000)
    checked.refused(Path("deep.yaml"), "deep.yaml", "not valid YAML")


def test_double_keys_of_models_and_benchmarks_are_refused_too(checked, written):
    path = written()
    for file in ("config/models/micro.yaml", "config/benchmarks/toyworld-gen.yaml"):
        text = Path(file).read_text()
        Path(file).write_text(text + "name: x\n")
        last = len(text.splitlines()) + 1
        checked.refused(path, f"{file}: line {last}", "the key 'name' is given twice")
        Path(file).write_text(text)
    checked.valid(path)


def test_numbers_that_are_written_by_other_programs_read_as_they_were(tmp_path):
    path = tmp_path / "x.yaml"
    values = {"a": 1e-15, "b": 1e20, "c": 0.1, "d": 7, "e": ["no", "1e3x", "1:30", "true", "12"], "f": None}
    path.write_text(yaml.safe_dump(values))
    assert load_yaml(path) == values
    path.write_text(re.sub(r"'no'", "'1", path.read_text()))
    with pytest.raises(SgtError, match="not valid YAML"):
        load_yaml(path)
