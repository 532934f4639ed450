"""How far a run, or a study, can be relied on: facts that stand in a card, in a bundle, and before an upload."""

import json
from collections.abc import Iterable, Iterator

from sgt.evaluation.treatment import MIN_USE, Treatment
from sgt.identity import read_record
from sgt.reporting.export.layout import EXPLORATORY, NOT_ADMINISTERED, REPLICATED
from sgt.reporting.scores import interval
from sgt.reporting.treatments import Treatments, summary
from sgt.study.loaded import LoadedStudy
from sgt.study.record import read_run
from sgt.study.results import Results
from sgt.study.runs import Run


def status_of(study: LoadedStudy, run: Run, treatment: Treatment | None) -> str:
    """One word for a run: whether it learned its proxy, and whether its arm was trained with several seeds."""
    if treatment and not treatment.is_administered:
        return NOT_ADMINISTERED
    return REPLICATED if _trained_seeds(study, run) > 1 else EXPLORATORY


def run_status(study: LoadedStudy, run: Run, treatment: Treatment | None) -> list[str]:
    """A run's status, a sentence each."""
    return [seeds_line(_trained_seeds(study, run)), treatment_line(treatment), *code_lines(study, [run])]


def study_status(study: LoadedStudy, treatments: Treatments) -> list[str]:
    """A study's status, a sentence each."""
    seeds = seeds_line(len(study.study.seeds))
    return [seeds, *(f"{line}." for line in summary(study, treatments)), *code_lines(study, study.runs)]


def seeds_line(count: int) -> str:
    """What the number of training seeds allows to conclude."""
    if count == 1:
        return "One training seed: exploratory. Another seed may change any difference between arms."
    return f"{count} training seeds. Intervals of a single run are over items alone."


def treatment_line(treatment: Treatment | None) -> str:
    """Whether an arm learned its proxy."""
    if treatment is None:
        return "No proxy was trained."
    use = interval(treatment.use.value, treatment.use.low, treatment.use.high)
    if treatment.is_administered:
        return f"The proxy {treatment.proxy} was learned: use of the image {use}, {MIN_USE} is needed."
    return f"The proxy {treatment.proxy} was not learned: use of the image {use}, {MIN_USE} is needed."


def code_lines(study: LoadedStudy, runs: Iterable[Run]) -> list[str]:
    """The code and the environments that runs, their predictions and their scores were made with."""
    made = [each for run in runs for each in _made_with(study, run)]
    revisions = sorted({code for code, _ in made})
    lines = [f"Code: {', '.join(revisions)}."]
    if any(revision.endswith("+") for revision in revisions):
        lines.append(
            "A revision with + had uncommitted changes: what it made cannot be made again from the repository."
        )
    environments = {json.dumps(environment, sort_keys=True) for _, environment in made}
    if len(environments) > 1:
        lines.append(f"It was made with {len(environments)} different sets of packages.")
    return lines


def _trained_seeds(study: LoadedStudy, run: Run) -> int:
    """With how many seeds a run's arm was trained, of the study as it is."""
    results, same = Results(study), [each for each in study.runs if (each.model, each.arm) == (run.model, run.arm)]
    return sum(results.fault(results.run(each)) is None for each in same)


def _made_with(study: LoadedStudy, run: Run) -> Iterator[tuple[str, dict]]:
    """Code and environment of every stage of a run."""
    records = [read_run(study, run), *([read_record(study.treatment_file(run))] if run.proxy else [])]
    yield from ((record["code"], record["environment"]) for record in records)
    for name in study.benchmarks:
        score = read_record(study.score_file(run, name))
        yield from ((score["code"][stage], environment) for stage, environment in score["environment"].items())
