"""Which samples a limit takes."""

from collections import Counter
from importlib import import_module

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sgt.config.benchmarks import OFFICIAL
from sgt.evaluation.limit import limited, spread
from sgt.evaluation.tasks import TASKS
from tests.evaluation.tasks.published import CONFIG, task

# What of a row names the part of the benchmark that it is of.
PARTS = {
    "cv-bench": lambda row: " ".join((row.dimensions["source"], row.dimensions["task"])),
    "gedit-bench": lambda row: row.dimensions["group"],
    "geneval": lambda row: row.dimensions["tag"],
    "hallusionbench": lambda row: " ".join((row.dimensions["category"], row.dimensions["subcategory"])),
    "imgedit-bench": lambda row: row.dimensions["type"],
    "mmstar": lambda row: " ".join((row.dimensions["category"], row.dimensions["sub_category"])),
    "sibench": lambda row: row.dimensions["setting"],
    "wise": lambda row: row.dimensions["category"],
}
JUDGE = {"url": "http://127.0.0.1/v1", "model": "m"}


@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=60))
def test_every_beginning_has_of_each_part_its_share(parts):
    order = spread(parts)
    assert sorted(order) == list(range(len(parts)))
    sizes = Counter(parts)
    for count in range(len(parts) + 1):
        taken = Counter(parts[place] for place in order[:count])
        for part, size in sizes.items():
            share = size / len(parts)
            # Each part is rounded to whole samples, and so are the others that it is a share of.
            assert abs(taken[part] - share * count) <= 0.5 + share * (len(sizes) + 1) / 2
    for part in sizes:
        assert [place for place in order if parts[place] == part] == [i for i, each in enumerate(parts) if each == part]


def test_a_part_that_is_asked_for_in_a_sorted_file_is_there_early():
    parts = ["perception"] * 250 + ["logic"] * 250 + ["science"] * 10
    few = limited([*range(510)], parts, 60)
    assert len(few) == 60
    taken = Counter(parts[few[place]] for place in range(len(few)))
    assert taken == {"perception": 30, "logic": 29, "science": 1}


def test_without_parts_the_first_are_taken_and_without_a_limit_all_in_their_order():
    samples = ["c", "b", "a"]
    assert [limited(samples, None, 2)[place] for place in range(2)] == ["c", "b"]
    assert limited(samples, ["x", "y", "y"], None) is limited(samples, ["x", "y", "y"], 3) is samples


@pytest.mark.parametrize("name", PARTS)
def test_parts_are_those_that_rows_are_reported_by(name, tmp_path):
    judged = {"judge": JUDGE} if "judge" in TASKS[name].Options.model_fields else {}
    protocol = yaml.safe_load((CONFIG / f"{name}.yaml").read_text()).get("protocol", OFFICIAL)
    one = task(name, protocol, **judged)
    folders = [tmp_path / each for each in one.options.data_downloads]
    import_module(f"tests.evaluation.tasks.test_{name.replace('-', '_')}").write(*folders)
    samples = one.open(folders)
    parts = one.parts(samples)
    assert len(parts) == len(samples) and len(set(parts)) > 1
    for part, place in zip(parts, range(len(samples)), strict=True):
        for row in one.rows([samples[place]]):
            assert PARTS[name](row) in part
