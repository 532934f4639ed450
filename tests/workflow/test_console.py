"""What a person sees of a whole run: few lines, none long, how far it is, what was found and where; or what failed."""

import re
from pathlib import Path

import pytest

from tests.conftest import write_study
from tests.workflow.test_workflow import ended, prepare

ENDING = "correct what is named above and run the same command again: "


def run(folder: Path, *words: str, status: int = 0) -> list[str]:
    """What Snakemake says on both streams, as a terminal shows it."""
    found, output = ended(folder, *words)
    assert found == status, output
    return output.splitlines()


@pytest.fixture(scope="module")
def controls(prepared, tmp_path_factory):
    """A study without a proxy or questions, run from nothing to its report; and what was seen of it."""
    folder = prepare(tmp_path_factory.mktemp("console"), prepared)
    write_study(folder, arms=["base", "sft"], benchmarks=["toyworld-gen"])
    return folder, run(folder)


@pytest.mark.slow
def test_a_whole_run_is_told_in_a_few_short_lines(controls):
    folder, lines = controls
    assert len(lines) < 60 and max(map(len, lines)) <= 200
    finished = [re.fullmatch(r"\d\d:\d\d:\d\d \[ *(\d+) %\] (.+) \(\d+ s\)", line) for line in lines]
    told = [match[2] for match in finished if match]
    assert len(told) == 15 and len(set(told)) == 15
    assert {"Train micro on sft, seed 0", "Predict toyworld-gen with micro, base, seed 0"} <= set(told)
    shares = [int(share) for line in lines for share in re.findall(r"\[ *(\d+) %\]", line)]
    assert shares == sorted(shares) and shares[-1] == 100
    log = (folder / "results/logs/train/micro/sft/seed0.log").read_text()
    assert "micro/sft/seed0: steps 6/6  " in log


@pytest.mark.slow
def test_the_last_lines_are_the_headline_and_the_address_of_the_report(controls):
    folder, lines = controls
    assert re.match(r"micro: .*(base|control sft).* in generation score: \w+", lines[-2])
    assert lines[-1] == "report: results/report/index.html" and (folder / lines[-1].split()[1]).exists()
    again = run(folder)
    assert len(again) < 8 and "Nothing to be done (all requested files are present and up to date)." in again
    assert again[-2:] == lines[-2:]


@pytest.mark.slow
def test_a_study_of_controls_has_the_figures_that_it_can_have(controls):
    folder, _ = controls
    made = {path.stem for path in (folder / "results/figures").glob("*.png")}
    assert made == {"generation", "outcomes", "scenes", "training"}
    assert "no arm is trained on a proxy" in (folder / "results/report/index.html").read_text()


@pytest.mark.slow
def test_lines_of_a_dry_run_are_short_too(prepared, tmp_path):
    folder = prepare(tmp_path, prepared)
    write_study(folder, seeds=list(range(9)))
    lines = [line for line in run(folder, "-n") if not line.startswith("Shell command: ")]
    assert max(map(len, lines)) <= 200 and any(line.endswith("…") for line in lines)


@pytest.mark.slow
def test_the_last_lines_of_a_failure_name_the_job_its_log_and_how_to_go_on(prepared, tmp_path):
    folder = prepare(tmp_path, prepared)
    weights = folder / "base/micro/ema.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    wanted = [f"results/runs/micro/{arm}/seed0/run.json" for arm in ("sft", "edge")]
    lines = run(folder, "--keep-going", "--", *wanted, status=1)
    assert len(lines) < 60 and max(map(len, lines)) <= 200
    start = lines.index("study micro stopped: 2 failed")
    ending = lines[start:]
    for images in ("scenes", "questions"):
        at = ending.index(f"failed: Check the samples of {images} for every model")
        log = folder / f"results/logs/screen/{images}.log"
        assert ending[at + 1] == f"    log: {log.relative_to(folder)}"
        last = log.read_text().splitlines()[-1]
        assert last.startswith("sgt screen: error: base/micro/ema.safetensors: ")
        assert " ".join(" ".join(ending[at + 2 :]).split()).startswith(" ".join(last.split()))
    assert lines[-1].startswith(ENDING)
