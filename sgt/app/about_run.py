"""What is known about one run, on one screen: recipe, losses, treatment, scores, evidence."""

import json
from collections.abc import Iterator
from statistics import fmean
from typing import Any

from sgt.app.states import CURRENT, state_of_result, state_of_run
from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.errors import SgtError
from sgt.evaluation.treatment import read_treatment
from sgt.identity import read_record
from sgt.reporting.evidence.read import read_evidence
from sgt.study.loaded import LoadedStudy
from sgt.study.record import checkpoint_of
from sgt.study.releases import release_in_words, release_of
from sgt.study.results import Results
from sgt.study.runs import Run

# Losses are shown as means over so many steps.
STEPS = 20
# A label and its text; lines of one label follow each other.
Line = tuple[str, str]


def about_run(study: LoadedStudy, run: Run) -> Iterator[Line]:
    """The lines of ``sgt info``: what is not there yet is left out, with the command that makes it where there is one.

    Raises:
        SgtError: the run's record is damaged.
    """
    results = Results(study)
    state = state_of_run(results, run)
    yield "run", f"{run.id} of {study.path}"
    yield "state", state if state == CURRENT else f"{state}: run `{results.run(run).command}`"
    path = results.run(run).record
    record = read_record(path) if path.exists() else {}
    if record:
        yield "weights", f"{_folders(study, run)}, sha256 {record['checkpoint_sha256'][:16]}…"
        seconds = f", {record['seconds']:.0f} s" if "seconds" in record else ""
        yield "made by", f"`{record['command']}`{seconds}, code {str(record['code'])[:12]}"
    yield from _recipe(study, run)
    yield from _losses(study, run)
    yield from _treatment(study, run, results)
    yield from _scores(study, run, results)
    yield from _evidence(study, run)


def _folders(study: LoadedStudy, run: Run) -> str:
    """Of a run's weights: its own, or the model's checkpoint with what is laid over it."""
    over = study.models[run.model].overlay if run.arm == ARM_WITHOUT_TRAINING else None
    return " with ".join([str(checkpoint_of(study, run)), *([over] if over else [])])


def _recipe(study: LoadedStudy, run: Run) -> Iterator[Line]:
    if run in study.transplant_runs:
        into, donor = study.transplanted(run)
        yield "recipe", f"{', '.join(study.study.transplants[run.arm].parts)} of {donor.id} in {into.id}"
        return
    if run.arm == ARM_WITHOUT_TRAINING:
        release = release_of(study, run.model, run.arm)
        yield "recipe", f"not trained here: {release_in_words(release)}" if release else "not post-trained"
        return
    recipe = study.recipe(run.model, run.arm)
    optimizer = recipe.optimizer
    yield (
        "recipe",
        (
            f"{recipe.steps} steps of {recipe.batch} samples, learning rate {optimizer.lr:g} ({optimizer.schedule}, "
            f"{optimizer.warmup} steps of warm-up), seed {run.seed}"
        ),
    )
    if recipe.lora:
        yield "trained", f"adapters (LoRA) of rank {recipe.lora.rank} on {', '.join(recipe.lora.parts)}, then merged"
    yield "questions", _subset(study.questions)
    if run.proxy:
        proxy = study.proxy(run.proxy)
        chosen = ", ".join(f"{name} {value}" for name, value in proxy.options.model_dump(exclude={"task"}).items())
        yield "proxy", f"{proxy.name}{f' ({chosen})' if chosen else ''} of {_subset(study.image_subset(run.proxy))}"
        yield "ratio", f"{recipe.ratio[0]} of the proxy : {recipe.ratio[1]} of questions"


def _subset(subset: Any) -> str:
    return subset.dataset if subset.limit is None else f"the first {subset.limit} of {subset.dataset}"


def _losses(study: LoadedStudy, run: Run) -> Iterator[Line]:
    path = study.run_dir(run) / "metrics.jsonl"
    if not path.exists():
        return
    steps = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for name, part in (("first", steps[:STEPS]), ("last", steps[-STEPS:])):
        means = "  ".join(f"{loss} {fmean(step[loss] for step in part):.3f}" for loss in ("loss", "ce", "mse"))
        yield "losses", f"{means}  (mean of the {name} {len(part)} steps)"
    validated = [step for step in steps if any(name.startswith("validation_") for name in step)]
    if validated:
        last = validated[-1]
        values = [f"{name.removeprefix('validation_')} {last[name]:.3f}" for name in last if "validation_" in name]
        yield "validation", f"{'  '.join(values)}  (after {last['step'] + 1} steps)"


def _treatment(study: LoadedStudy, run: Run, results: Results) -> Iterator[Line]:
    if run not in study.proxy_runs:
        return
    result = results.treatment(run)
    if (state := state_of_result(results, result)) != CURRENT:
        yield "treatment", f"{state}: run `{result.command}`"
        return
    found = read_treatment(study, run)
    took = "administered" if found.is_administered else "not administered"
    yield "treatment", f"{took}: use of the image {_interval(vars(found.use))}"
    best = found.fidelity
    bounds = f"floor {best.floor.value:.3f}, ceiling {best.ceiling.value:.3f}"
    yield "treatment", f"{best.name} {_interval(vars(best.made))}, {bounds}"


def _scores(study: LoadedStudy, run: Run, results: Results) -> Iterator[Line]:
    for name, benchmark in study.benchmarks.items():
        result = results.score(run, benchmark)
        if (state := state_of_result(results, result)) != CURRENT:
            yield "scores", f"{name}: {state}: run `{result.command}`"
            continue
        for metric in read_record(result.record)["metrics"].values():
            about = metric["about"]
            if about["headline"]:
                chance = "" if metric.get("chance") is None else f", chance {metric['chance']:.3f}"
                yield "scores", f"{name} {about['title']} {_interval(metric)}, {metric['n']} items{chance}"


def _evidence(study: LoadedStudy, run: Run) -> Iterator[Line]:
    try:
        cells = [cell for cell in read_evidence(study).cells if run.id in cell.runs]
    except SgtError as error:
        yield "evidence", str(error)
        return
    if not cells:
        yield "evidence", f"no cell of the tables is from this run: run `sgt evidence {study.path}`"
        return
    first = cells[0]
    yield "evidence", f"{len(cells)} cells of the tables are from this run; the chain of one:"
    yield "evidence", f"`sgt trace {study.path} {first.tables[0]} {first.row} '{first.column}'`"


def _interval(estimate: dict[str, Any]) -> str:
    """A value with its 95% interval."""
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"
