"""Which software made a study's results: one environment, or several, of which the report warns."""

import json
from collections import Counter

from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.reporting.scores import Scores
from sgt.study.record import read_run

_PLURAL = {
    "record of weights": "records of weights",
    "training": "trainings",
    "prediction": "predictions",
    "judgement": "judgements",
    "score": "scores",
}
# Of records that were written before environments were recorded.
NOT_RECORDED = {"python": "not recorded", "packages": "not recorded"}


def environments(scores: Scores) -> list[dict]:
    """One row per environment, the most used first.

    Each has ``python``, ``packages`` (see :func:`sgt.environment.environment`) and ``made``: how many trainings,
    records of weights that are not trained, predictions, judgements and scores, as text.
    """
    used: Counter[tuple[str, str]] = Counter()
    for run in scores.study.runs:
        what = "record of weights" if run.arm == ARM_WITHOUT_TRAINING else "training"
        used[_key(read_run(scores.study, run).get("environment")), what] += 1
    for score in scores.files.values():
        by_stage = score.get("environment", {})
        stages = {"predict": "prediction", **({"judge": "judgement"} if "judge" in by_stage else {}), "score": "score"}
        for stage, what in stages.items():
            used[_key(by_stage.get(stage)), what] += 1
    rows: dict[str, dict] = {}
    for (key, what), count in used.most_common():
        row = rows.setdefault(key, {**json.loads(key), "made": []})
        row["made"].append(f"{count} {_PLURAL[what] if count > 1 else what}")
    return [{**row, "made": ", ".join(row["made"])} for row in rows.values()]


def _key(environment: dict | None) -> str:
    return json.dumps(environment or NOT_RECORDED, sort_keys=True)
