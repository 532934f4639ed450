"""What attention analyses found, run by run, and how it differs from the base model and from the control.

Differences are between the same items. A relative change, as the published figures show it, is that of a ratio of
means; its interval is of what each item changes in the ratio, so that it is over seeds and items as all others are.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sgt.analysis.analyse import read_findings
from sgt.config.study import ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING
from sgt.evaluation.statistics import Difference, Estimate, paired_difference, unbounded_mean
from sgt.reporting.contents import analyses_of
from sgt.reporting.scores import Scores

REFERENCES = (ARM_WITHOUT_TRAINING, ARM_WITHOUT_PROXY)
# In place of a layer: the mean of all layers.
ALL_LAYERS = "mean"


def attention_of(scores: Scores) -> pd.DataFrame:
    """One row per analysis, model, arm, form, measure and layer; then one for the mean of the layers.

    Columns: ``analysis``, ``model``, ``arm``, ``administered``, ``during`` (``answering`` or ``generating``), ``form``
    (``model``: the weights that the model used; ``released``: those of the released code), ``measure``, ``layer``,
    ``seeds``, ``n`` (items), ``value``, ``low``, ``high`` (95%); for each of ``base`` and ``sft``, if the study has
    it, ``over_base`` (the difference), ``over_base_low``, ``over_base_high``, ``over_base_detectable`` (the smallest
    difference that would be seen), ``over_base_percent``, ``over_base_percent_low``, ``over_base_percent_high``; and
    ``records``, the files that the row is of.
    """
    study = scores.study.study
    found = [
        {"analysis": name, "model": model, **row}
        for name in analyses_of(scores.study, "attend")
        for model in study.models
        for row in _rows(scores, name, model)
    ]
    return pd.DataFrame(found)


def _rows(scores: Scores, name: str, model: str) -> Iterator[dict[str, Any]]:
    study = scores.study
    runs = {arm: scores.runs(model, arm) for arm in study.study.arms}
    findings = {arm: [read_findings(study, run, name) for run in runs[arm]] for arm in runs}
    references = [arm for arm in REFERENCES if arm in runs]
    for during, form, measure in _measures(findings[study.study.arms[0]][0]):
        values = {arm: _values(found, during, form, measure) for arm, found in findings.items()}
        keys = findings[study.study.arms[0]][0][during]["key"]
        # Captions without a word of a kind have no share of it.
        known = ~np.isnan(values[study.study.arms[0]]).any(axis=(0, 2))
        of_known = [key for key, is_known in zip(keys, known, strict=True) if is_known]
        for arm, of_arm in values.items():
            layers = of_arm.shape[2]
            about = {
                "arm": arm,
                "administered": scores.administered(model, arm),
                "during": during,
                "form": form,
                "measure": measure,
            }
            records = " ".join(str(study.analysis_file(run, name)) for run in runs[arm])
            for layer in [*range(layers), ALL_LAYERS]:
                at = {each: _at(values[each][:, known], layer) for each in (arm, *references)}
                compared: dict[str, float] = {}
                for reference in references:
                    compared |= _compared(f"over_{reference}", at[arm], at[reference], of_known, arm == reference)
                estimate = vars(unbounded_mean(at[arm], of_known))
                yield {**about, "layer": layer, "seeds": len(of_arm), **estimate, **compared, "records": records}


def _measures(findings: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for during, forms in findings.items():
        for form, measures in forms.items():
            if form != "key":
                yield from ((during, form, measure) for measure in measures)


def _values(findings: list[dict], during: str, form: str, measure: str) -> np.ndarray:
    """Seeds × items × layers, NaN where an item has none."""
    return np.array([each[during][form][measure] for each in findings], float)


def _at(values: np.ndarray, layer: int | str) -> np.ndarray:
    """Seeds × items of one layer, or of the mean of the layers."""
    return values.mean(axis=2) if layer == ALL_LAYERS else values[:, :, int(layer)]


def _compared(
    name: str, values: np.ndarray, reference: np.ndarray, keys: Sequence[str], same: bool
) -> dict[str, float]:
    """The columns of one comparison; NaN where an arm would be compared with itself."""
    if same:
        nothing = Difference(np.nan, np.nan, np.nan, 0, np.nan, 0)
        difference, percent = nothing, Estimate(np.nan, np.nan, np.nan, 0)
    else:
        difference = paired_difference(values, reference, keys)
        percent = relative_change(values, reference, keys)
    return {
        name: difference.value,
        f"{name}_low": difference.low,
        f"{name}_high": difference.high,
        f"{name}_detectable": difference.detectable,
        f"{name}_percent": percent.value,
        f"{name}_percent_low": percent.low,
        f"{name}_percent_high": percent.high,
    }


def relative_change(values: np.ndarray, reference: np.ndarray, clusters: Sequence[str]) -> Estimate:
    """Mean of some values over that of others less one, in percent, with its linearised 95% interval.

    Args:
        values, reference: seeds × items; the second may have one seed alone.
        clusters: of each item.
    """
    below = reference.mean()
    ratio = values.mean() / below
    influence = (values - ratio * reference) / below
    return unbounded_mean(100 * (ratio - 1 + influence), clusters)
