"""Linear probes: how much of a label can be read off features by a linear map, and how much by chance.

Images, not objects, are split into those that a probe is fitted on, those that its regularisation is chosen on, and
those that it is tested on. A probe is as good as its test score less that of its *control*, the same probe with the
same labels in a random order: the difference, its selectivity, leaves out what a probe makes of any labels (Hewitt and
Liang 2019).
"""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from sgt.errors import SgtError

TRAIN, VALIDATION, TEST = range(3)
# Of the images, in this order.
SHARES = 0.5, 0.2, 0.3
# Weights of the sum of the squared coefficients, where features have unit variance and errors are summed over items.
STRENGTHS = (1e3, 1e2, 1e1, 1.0)
ITERATIONS, TOLERANCE = 200, 1e-3


@dataclass(frozen=True)
class Target:
    """What a probe is to find.

    Attributes:
        name: in tables.
        numeric: whether labels are numbers, and the score R² and not accuracy.
        labels: (items, questions): integers, or floats if numeric. One probe answers each question about an item.
        groups: int (items,): the image of each item.
    """

    name: str
    numeric: bool
    labels: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class Probe:
    """A fitted probe's scores on the test items: their mean is its accuracy or its R².

    Attributes:
        scores: (items, questions): whether the answer is right; or 1 less the squared error over the labels' variance.
        strength: of the regularisation, one of :data:`STRENGTHS`.
    """

    scores: np.ndarray
    strength: float


def split_of(keys: Sequence[str]) -> np.ndarray:
    """Which part of the split each image is in, int (images,): it depends on the keys alone, not on their order.

    Raises:
        SgtError: there are too few images for every part to have some.
    """
    counts = [round(share * len(keys)) for share in SHARES[:-1]]
    counts.append(len(keys) - sum(counts))
    if min(counts) < 2:
        raise SgtError("dataset", f"{len(keys)} images are too few to fit and test probes on", "use more")
    order = sorted(range(len(keys)), key=lambda index: hashlib.sha256(keys[index].encode()).digest())
    parts = np.empty(len(keys), int)
    parts[order] = np.repeat([TRAIN, VALIDATION, TEST], counts)
    return parts


def fit_probe(features: np.ndarray, target: Target, parts: np.ndarray) -> Probe:
    """Fit a probe: its regularisation is chosen on the validation items, on which it is then fitted too.

    Args:
        features: (items, channels).
        target: of these items.
        parts: of the split, of each image.
    """
    part = parts[target.groups]
    train, validation, test = (part == each for each in (TRAIN, VALIDATION, TEST))
    predictions = _values if target.numeric else _classes

    def scores(fitted_on: np.ndarray, on: np.ndarray, strengths: Sequence[float]) -> list[np.ndarray]:
        scaler, true = StandardScaler().fit(features[fitted_on]), target.labels[on]
        given, more = scaler.transform(features[fitted_on]), scaler.transform(features[on])
        predicted = predictions(given, target.labels[fitted_on], more, strengths)
        if not target.numeric:
            return [(each == true).astype(float) for each in predicted]
        # Where all labels are the same there is nothing to explain.
        variance = max(true.var(), np.finfo(np.float32).tiny)
        return [1 - (each - true) ** 2 / variance for each in predicted]

    means = [each.mean() for each in scores(train, validation, STRENGTHS)]
    # The strongest of those that are equally good.
    strength = STRENGTHS[int(np.argmax(means))]
    (of_test,) = scores(train | validation, test, [strength])
    return Probe(of_test, strength)


def shuffled(target: Target, seed: Sequence[int]) -> Target:
    """The target with its labels in a random order."""
    order = np.random.default_rng(seed).permutation(len(target.labels))
    return Target(target.name, target.numeric, target.labels[order], target.groups)


def _values(given: np.ndarray, labels: np.ndarray, more: np.ndarray, strengths: Sequence[float]) -> list[np.ndarray]:
    """What ridge regression of each strength predicts: (items of ``more``, questions) each."""
    # Of a single question scikit-learn returns a vector.
    return [Ridge(strength).fit(given, labels).predict(more).reshape(len(more), -1) for strength in strengths]


def _classes(given: np.ndarray, labels: np.ndarray, more: np.ndarray, strengths: Sequence[float]) -> list[np.ndarray]:
    """What logistic regression of each strength predicts: (items of ``more``, questions) each."""
    by_question = [_class(given, column, more, strengths) for column in labels.T]
    return [np.stack(each, axis=1) for each in zip(*by_question, strict=True)]


def _class(given: np.ndarray, labels: np.ndarray, more: np.ndarray, strengths: Sequence[float]) -> list[np.ndarray]:
    if (labels == labels[0]).all():
        return [np.full(len(more), labels[0])] * len(strengths)
    # Each fit starts from the one before it, which takes fewer iterations.
    model, found = LogisticRegression(max_iter=ITERATIONS, tol=TOLERANCE, warm_start=True), []
    with warnings.catch_warnings():
        # Weakly regularised probes of separable labels never converge; what they predict is settled long before.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for strength in strengths:
            found.append(model.set_params(C=1 / strength).fit(given, labels).predict(more))
    return found
