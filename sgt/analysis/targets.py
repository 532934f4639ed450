"""What probes are to find: of objects class, colour, size, place and depth; of images how many and which there are."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from sgt.analysis.features import Features
from sgt.analysis.probing import TEST, TRAIN, VALIDATION, Target
from sgt.errors import SgtError

# By name: whether labels are numbers.
OF_OBJECTS = {"class": False, "colour": False, "size": False, "column": False, "row": False, "depth": True}
COUNT, EXISTENCE, PAIR = "count", "existence", "pair"
# Of a class, and of images with and without it, so that a probe can learn to tell.
FEWEST = 5


def object_targets(features: Features, parts: np.ndarray) -> list[tuple[Target, np.ndarray]]:
    """Each target that the objects have labels for, with the indexes of its objects.

    Objects of classes of which fewer than :data:`FEWEST` objects are in the training images are left out; and targets
    that no validation image or fewer than two test images have, between which there is no interval.
    """
    found = []
    in_training = parts[features.image_of] == TRAIN
    for name, numeric in OF_OBJECTS.items():
        known = [index for index, labels in enumerate(features.labels) if name in labels]
        if not numeric:
            counts = Counter(features.labels[index][name] for index in known if in_training[index])
            known = [index for index in known if counts[features.labels[index][name]] >= FEWEST]
        labels = np.array([features.labels[index][name] for index in known])
        images_of = Counter(parts[np.unique(features.image_of[known])].tolist())
        if len(set(labels.tolist())) < 2 or not images_of[VALIDATION] or images_of[TEST] < 2:
            continue
        encoded = labels if numeric else np.unique(labels, return_inverse=True)[1]
        found.append((Target(name, numeric, encoded[:, None], features.image_of[known]), np.array(known)))
    return found


def pair_target(features: Features, parts: np.ndarray, pair: Sequence[str]) -> tuple[Target, np.ndarray]:
    """Which of two classes an object has, with the indexes of the objects of either.

    Raises:
        SgtError: fewer than :data:`FEWEST` objects of one of them are in the training images, or none in the others.
    """
    names = [labels["class"] for labels in features.labels]
    chosen = np.array([index for index, name in enumerate(names) if name in pair], int)
    which = np.array([list(pair).index(names[index]) for index in chosen], int)
    part = parts[features.image_of[chosen]]
    for place, name in enumerate(pair):
        counts = [int(((which == place) & (part == each)).sum()) for each in (TRAIN, VALIDATION, TEST)]
        if counts[0] < FEWEST or not min(counts):
            problem = f"{sum(counts)} objects are {name!r}, {counts[0]} of them in the images to train on"
            raise SgtError("pair", problem, "name other classes, or use more samples")
    return Target(PAIR, False, which[:, None], features.image_of[chosen]), chosen


def image_targets(features: Features, parts: np.ndarray) -> list[Target]:
    """How many objects an image has, and for each class whether it has one.

    Classes that fewer than :data:`FEWEST` training images have, or lack, are left out.
    """
    images = np.arange(len(features.keys))
    counts = np.bincount(features.image_of, minlength=len(images))
    targets = [Target(COUNT, True, counts[:, None].astype(float), images)] if counts.var() else []
    names = sorted({labels["class"] for labels in features.labels})
    place = {name: column for column, name in enumerate(names)}
    exists = np.zeros((len(images), len(names)), int)
    for image, labels in zip(features.image_of, features.labels, strict=True):
        exists[image, place[labels["class"]]] = 1
    with_class = exists[parts == TRAIN].sum(0)
    told_apart = np.minimum(with_class, (parts == TRAIN).sum() - with_class) >= FEWEST
    return [*targets, Target(EXISTENCE, False, exists[:, told_apart], images)] if told_apart.any() else targets
