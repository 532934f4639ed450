"""Probing all layers of a model for all targets."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sgt.analysis.features import Features
from sgt.analysis.probe_record import ACCURACY, R2, line
from sgt.analysis.probing import TEST, Target, fit_probe, shuffled, split_of
from sgt.analysis.targets import image_targets, object_targets, pair_target
from sgt.progress import Progress


def probe_layers(features: Features, shuffles: int, seed: int, pair: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit a probe for every target and layer, and its controls; returns the findings (:mod:`.probe_record`).

    Args:
        features: of annotated images and their objects.
        shuffles: controls of each probe.
        seed: of the orders of their labels, which are the same for all layers and models.
        pair: two classes that are also told apart, and embedded in two dimensions.

    Raises:
        SgtError: there are too few images, or objects of the pair.
    """
    parts = split_of(features.keys)
    tested = np.flatnonzero(parts == TEST)
    targets = [(target, features.objects, items) for target, items in object_targets(features, parts)]
    embeddings = {}
    if pair is not None:
        of_pair, items = pair_target(features, parts, pair)
        targets.append((of_pair, features.objects, items))
        # Imported here: it takes a tenth of a second more, which matters to many short jobs.
        from sgt.analysis.embedding import embed_pair

        embeddings = {"pair": embed_pair(features, pair, of_pair.labels[:, 0], items, seed)}
    images = np.arange(len(features.keys))
    targets += [(target, features.images, images) for target in image_targets(features, parts)]
    progress, found = Progress("probes", len(targets) * len(features.images)), {}
    for target, by_layer, items in targets:
        layers = {}
        for layer, values in by_layer.items():
            layers[layer] = _probed(values[items], target, parts, shuffles, seed)
            progress.add()
        # As the scores are: every question about an item, item by item.
        image_of = np.repeat(target.groups[parts[target.groups] == TEST], target.labels.shape[1])
        metric = R2 if target.numeric else ACCURACY
        found[target.name] = {"metric": metric, "image": line(np.searchsorted(tested, image_of)), "layers": layers}
    return {
        "images": {"fitted": len(parts) - len(tested), "tested": [features.keys[image] for image in tested]},
        "left_out": features.left_out,
        "targets": found,
        **embeddings,
    }


def _probed(features: np.ndarray, target: Target, parts: np.ndarray, shuffles: int, seed: int) -> dict[str, Any]:
    probe = fit_probe(features, target, parts)
    controls = [fit_probe(features, shuffled(target, (seed, number)), parts).scores for number in range(shuffles)]
    control = np.mean(controls, axis=0)
    return {
        "value": round(float(probe.scores.mean()), 6),
        "of_control": round(float(control.mean()), 6),
        "strength": probe.strength,
        "scores": line(probe.scores),
        "control": line(control),
    }
