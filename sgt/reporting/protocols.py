"""The same replies by the rules of every harness that asks the same question: how far their numbers lie apart."""

import pandas as pd

from sgt.config.benchmarks import FetchedBenchmark
from sgt.reporting.scores import Scores, interval
from sgt.study.loaded import LoadedStudy
from sgt.study.releases import arm_label

STATUSES = ("direct", "cue", "text", "ambiguous", "none")
COLUMNS = [
    *("model", "arm", "seed", "benchmark", "metric", "protocol", "value", "low", "high", "n", "apart"),
    *STATUSES,
]


def protocol_rows(scores: Scores) -> pd.DataFrame:
    """One row per run, fetched benchmark and protocol, the study's own first.

    Columns: ``model``, ``arm``, ``seed``, ``benchmark``, ``metric`` (the one that sums it up) with ``value``, ``low``,
    ``high`` (95%, over items) and ``n``; ``protocol``; the share of replies that were read with each status; ``apart``,
    the difference from the study's protocol.
    """
    rows = []
    for run in scores.study.runs:
        for name, benchmark in scores.study.benchmarks.items():
            if not isinstance(benchmark, FetchedBenchmark):
                continue
            score = scores.files[run, name]
            own = {"metrics": score["metrics"], "statuses": score["statuses"]}
            read = {benchmark.protocol: own, **score["other_protocols"]}
            for metric in (each.name for each in scores.headlines(name)):
                for protocol, found in read.items():
                    if metric not in found["metrics"] or metric not in own["metrics"]:
                        continue
                    summed, replies = found["metrics"][metric], sum(found["statuses"].values())
                    rows.append(
                        {
                            "model": run.model,
                            "arm": run.arm,
                            "seed": run.seed,
                            "benchmark": name,
                            "metric": metric,
                            "protocol": protocol,
                            **{key: summed[key] for key in ("value", "low", "high", "n")},
                            "apart": summed["value"] - own["metrics"][metric]["value"],
                            **{status: found["statuses"].get(status, 0) / replies for status in STATUSES},
                        }
                    )
    return pd.DataFrame(rows, columns=COLUMNS)


def overlap_rows(scores: Scores) -> pd.DataFrame:
    """One row per run and benchmark that ask about, and were trained on, images of COCO.

    Columns: ``model``, ``arm``, ``seed``, ``benchmark``; ``images`` of COCO in the benchmark, and how many of these the
    run was ``trained_on``.
    """
    rows = [
        {"model": run.model, "arm": run.arm, "seed": run.seed, "benchmark": name, **found}
        for run in scores.study.runs
        for name in scores.study.benchmarks
        if (found := scores.files[run, name]["overlap"])
    ]
    return pd.DataFrame(rows, columns=["model", "arm", "seed", "benchmark", "images", "trained_on"])


def protocol_pivot(study: LoadedStudy, rows: pd.DataFrame) -> pd.DataFrame:
    """The same as people read it: texts, with the study's own protocol first."""
    return pd.DataFrame(
        {
            "model": rows["model"],
            "arm": [arm_label(study, row.model, row.arm) for row in rows.itertuples()],
            **{name: rows[name].astype(str) for name in ("seed", "benchmark", "metric", "protocol")},
            "value": [interval(row.value, row.low, row.high) for row in rows.itertuples()],
            "apart": [f"{apart:+.3f}" for apart in rows["apart"]],
            **{status: [f"{share:.3f}" for share in rows[status]] for status in STATUSES},
        }
    )


def protocols_note() -> str:
    """What stands below the table."""
    return (
        "Every row of a run and benchmark is about the same replies. Apart: the difference from the protocol of the "
        "study. Direct, cue, text, ambiguous, none: the share of replies that were read so. With none or several "
        "answers a reply counts as wrong, unless its protocol's rule says otherwise."
    )
