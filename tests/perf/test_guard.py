"""The guard finds ratios in what the speed scripts print, and tells those that hold from those that do not."""

import importlib

import pytest

from perf import guard, scale
from perf.guard import BOUNDS, Bound, Bounds
from sgt.config.files import read_yaml

STREAMED = "4000 samples of 6 kB: 0.80 GB/s, 7.5 us per sample; tarfile 36.1, as webdataset 37.3; ratios {}, {}"
RATED = "options rated: 364 questions/s, ratio 1.31; 60 of 60 the same"
WRITTEN = "replies written: 819 questions/s, ratio 1.31; 60 of 60 the same"
# A line of each script's output, as docs/performance.md's figures were printed.
PRINTED = {
    "training-step": "ratio 1.31; first losses 7.512345 and 7.512345",
    "guidance-in-one-batch": "48x48, 24 steps, 4 at once: 12.5 images/s, ratio 1.31",
    "shared-prefix": "answers of 8 tokens, 32 at once: 360 questions/s, ratio 1.31",
    "block-mask": "10306 tokens, 15 splits: 2.6 ms from splits, 5200 ms from tokens, ratio 131; 76% are empty",
    "rendering": "ratio 13.1",
    "streaming": STREAMED.format("1.31", "4.97"),
    "streaming-webdataset": STREAMED.format("4.81", "1.31"),
    "options-rated": RATED,
    "replies-written": WRITTEN,
    "options-rated-omnigen2": RATED,
    "replies-written-omnigen2": WRITTEN,
    "official-step": "official: ratio: official over sgt 1.31",
    "dry-run-growth": "dry run: 1498 jobs, 14.05 s, 107/s, 249 MB, grows as n^1.31",
    "streaming-growth": "stream: 50000 samples, 8.17 s, 12,236/s, 51 MB, grows as n^1.31",
    "scoring-growth": "score: 10000 questions, 0.93 s, 10,803/s, 314 MB, grows as n^1.31",
}


def bounds():
    return read_yaml(BOUNDS, Bounds).root


def test_every_bound_is_of_a_script_that_takes_its_options():
    assert bounds().keys() == PRINTED.keys()
    for bound in bounds().values():
        module, *_ = bound.command.split()
        assert callable(importlib.import_module(module).main)


@pytest.mark.parametrize("name", PRINTED)
def test_a_ratio_is_found_in_what_its_script_prints(name):
    bound = bounds()[name]
    printed = f"before\n{PRINTED[name]}\nafter"
    expected = {"block-mask": 131, "rendering": 13.1}.get(name, 1.31)
    assert bound.ratio_in(printed) == expected and bound.ratio_in("nothing") is None


def test_lines_of_the_scripts_are_those_that_are_looked_for():
    stage = {"stage": "dry run", "size": 1000, "seconds": 20.0, "peak_mb": 250.0}
    assert bounds()["dry-run-growth"].ratio_in(scale.line("jobs", stage, (100, 2.0))) == 1.0
    assert scale.exponent((10, 1.0), (1000, 100.0)) == pytest.approx(1.0)
    assert "grows" not in scale.line("jobs", stage, None)


def test_both_kinds_of_bound():
    least = Bound(command="perf.render", find="", at_least=2, why="")
    most = Bound(command="perf.render", find="", at_most=2, why="")
    assert [least.holds(ratio) for ratio in (1.9, 2.0)] == [False, True]
    assert [most.holds(ratio) for ratio in (2.0, 2.1)] == [True, False]
    assert least.better(1, 3) == 3 and most.better(1, 3) == 1
    with pytest.raises(ValueError, match="at_least or at_most"):
        Bound(command="perf.render", find="", why="")


@pytest.mark.parametrize(("ratios", "status"), [((50.0,), 0), ((1.0, 50.0), 0), ((1.0, 1.5), 1), ((None,), 1)], ids=str)
def test_a_ratio_out_of_bounds_is_measured_once_more_and_ends_with_status_1(ratios, status, monkeypatch, capsys):
    printed = [f"ratio {ratio}\n" if ratio else "Traceback: no memory\n" for ratio in ratios]
    monkeypatch.setattr(guard, "run", lambda command: printed.pop(0))
    with pytest.raises(SystemExit) as ended:
        guard.main(["rendering"])
    out, error = capsys.readouterr()
    assert bool(ended.value.code) == bool(status) and not printed
    assert ("FAILS" in out) == bool(status) and ("no memory" in error) == (ratios == (None,))


def test_an_unknown_name_is_an_error():
    with pytest.raises(SystemExit, match="no bound nothing"):
        guard.main(["nothing"])


@pytest.mark.slow
def test_growth_is_measured(capfd):
    scale.main(["read", "20", "40"])
    scale.main(["open", "20"])
    scale.main(["questions", "20", "40"])
    lines = [line.split(":")[0] for line in capfd.readouterr().out.splitlines()]
    opening = ["open_first", "open_again", "random_access", "leave_out", "shuffle"]
    assert lines == ["stream"] * 2 + opening + ["predict", "join", "score", "write"] * 2
