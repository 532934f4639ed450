"""Two classes that look alike, in two dimensions: t-SNE of their features, as in the paper's figure.

The picture shows which features are near each other, and no more: distances between clusters and their sizes have no
meaning in it. Whether a linear map tells the classes apart is the probe's number.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler

from sgt.analysis.features import Features
from sgt.analysis.probe_record import line

# Objects of each class, from the first: as many as the paper's figure shows.
PER_CLASS = 100
PERPLEXITY = 30.0


def embed_pair(
    features: Features, pair: Sequence[str], which: np.ndarray, items: np.ndarray, seed: int
) -> dict[str, Any]:
    """Embeddings of the objects of two classes, in the last layer of each part of the model.

    Args:
        features: of annotated images and their objects.
        pair: the classes.
        which: int (items,): the class of each object of either.
        items: their indexes among the objects.
        seed: of t-SNE, which begins with principal components; it matters where these are approximated.

    Returns:
        ``classes``; ``which`` of them each object is, and the ``image`` that it is in; and by layer ``x`` and ``y``.
    """
    shown = np.sort(np.concatenate([np.flatnonzero(which == place)[:PER_CLASS] for place in range(len(pair))]))
    layers = {}
    for layer in last_layers(features.objects):
        x, y = embedded(features.objects[layer][items[shown]], seed).T
        layers[layer] = {"x": line(x), "y": line(y)}
    return {
        "classes": list(pair),
        "which": line(which[shown]),
        "image": [features.keys[image] for image in features.image_of[items[shown]]],
        "layers": layers,
    }


def last_layers(layers: Iterable[str]) -> list[str]:
    """Of each part of the model (``vision``, …), the last layer there is."""
    return list({layer.partition(".")[0]: layer for layer in layers}.values())


def embedded(features: np.ndarray, seed: int) -> np.ndarray:
    """t-SNE of features (items, channels) of unit variance: (items, 2), the same whenever it is computed.

    The exact method, on one thread: the approximate one adds up in an order that depends on the number of threads.
    """
    given = StandardScaler().fit_transform(features.astype(np.float64))
    perplexity = min(PERPLEXITY, (len(given) - 1) / 3)
    return TSNE(2, perplexity=perplexity, init="pca", method="exact", random_state=seed).fit_transform(given)
