"""What linear probes found in the layers of every arm's model, over training seeds and images."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sgt.analysis.analyse import read_findings
from sgt.analysis.probe_record import ACCURACY, ProbedItems, probed_items
from sgt.config.study import ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING
from sgt.errors import SgtError
from sgt.evaluation.statistics import Estimate, paired_difference, proportion, unbounded_mean
from sgt.reporting.contents import analyses_of
from sgt.study.loaded import LoadedStudy

# The arms that every other is compared with.
REFERENCES = (ARM_WITHOUT_TRAINING, ARM_WITHOUT_PROXY)
# By target and layer, the test items of an arm's runs, one per seed.
ArmProbes = dict[tuple[str, str], list[ProbedItems]]


def probe_rows(study: LoadedStudy) -> pd.DataFrame:
    """One row per analysis, model, target, layer and arm.

    Columns: ``analysis``, ``model``, ``target``, ``metric`` (``accuracy`` or ``R²``), ``layer``, ``arm``, ``seeds``
    (how many), ``n`` (test items); ``value``, ``low``, ``high`` (95%); ``control``, the same with shuffled labels;
    ``selectivity``, the value less that; and ``over_base`` and ``over_sft``, the value less that of this arm on the
    same items, each with ``_low`` and ``_high``. Nothing where the study has no such arm, or the arm is it.
    """
    rows = []
    for name in analyses_of(study, "probe"):
        for model in study.models:
            probes = {arm: _probes(study, model, arm, name) for arm in study.study.arms}
            _check_alike(study, name, list(probes.values()))
            for target, layer in probes[study.study.arms[0]]:
                for arm, of_arm in probes.items():
                    references = {each: probes[each][target, layer] for each in REFERENCES if each in probes}
                    row = _row(of_arm[target, layer], {each: of for each, of in references.items() if each != arm})
                    rows.append({"analysis": name, "model": model, "arm": arm, **row})
    return pd.DataFrame(rows)[COLUMNS]


_COMPARED = [f"over_{arm}{bound}" for arm in REFERENCES for bound in ("", "_low", "_high")]
COLUMNS = [
    *("analysis", "model", "target", "metric", "layer", "arm", "seeds", "n", "value", "low", "high"),
    *("control", "control_low", "control_high", "selectivity", "selectivity_low", "selectivity_high"),
    *_COMPARED,
]


def _probes(study: LoadedStudy, model: str, arm: str, name: str) -> ArmProbes:
    found: ArmProbes = {}
    for run in study.runs:
        if (run.model, run.arm) == (model, arm):
            for items in probed_items(read_findings(study, run, name)):
                found.setdefault((items.target, items.layer), []).append(items)
    return found


def _check_alike(study: LoadedStudy, name: str, probes: Sequence[ArmProbes]) -> None:
    """See that all runs of a model were probed on the same items.

    Raises:
        SgtError: one was not.
    """
    first = probes[0]
    for each in probes:
        same = each.keys() == first.keys()
        if not same or any(one.images != first[key][0].images for key, items in each.items() for one in items):
            folder = study.results / "analyses"
            problem = f"the runs of a model were probed ({name}) on other items than one another"
            raise SgtError(folder, problem, "delete them, and run the study again")


def _row(items: Sequence[ProbedItems], references: dict[str, Sequence[ProbedItems]]) -> dict:
    first, images = items[0], items[0].images
    scores, control = (np.stack([getattr(each, field) for each in items]) for field in ("scores", "control"))
    estimate = proportion if first.metric == ACCURACY else unbounded_mean
    value = estimate(scores, images)
    row = {
        "target": first.target,
        "metric": first.metric,
        "layer": first.layer,
        "seeds": len(items),
        **vars(value),
        **_columns("control", estimate(control, images)),
        **_columns("selectivity", paired_difference(scores, control, images)),
        **dict.fromkeys(_COMPARED, np.nan),
    }
    for arm, of in references.items():
        theirs = np.stack([each.scores for each in of])
        row |= _columns(f"over_{arm}", paired_difference(scores, theirs, images))
    return row


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
