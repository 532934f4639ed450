"""How far the results of a study are."""

from sgt.errors import SgtError
from sgt.study.results import MISSING, Result, Results
from sgt.study.runs import Run

CURRENT, UNFINISHED, NOT_MADE = "current", "unfinished", "not made"


def state_of_result(results: Results, result: Result) -> str:
    """``current``, ``not made``, or why a result is outdated or damaged."""
    try:
        fault = results.fault(result)
    except SgtError as error:
        return f"damaged: {error}"
    if fault is None:
        return CURRENT
    return NOT_MADE if fault == MISSING else f"outdated: {fault}"


def state_of_run(results: Results, run: Run) -> str:
    """That of its weights; ``unfinished`` if a training was begun that can be resumed."""
    state = state_of_result(results, results.run(run))
    begun = (results.study.run_dir(run) / "work").exists()
    return UNFINISHED if state == NOT_MADE and begun else state
