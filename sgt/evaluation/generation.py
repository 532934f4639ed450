"""Metrics of generated scenes: are the things that the prompt names there, in that colour and in that place?"""

from collections.abc import Sequence

from sgt.evaluation.scene_reader import Reading
from sgt.evaluation.statistics import proportion

# What is asked of each named thing. Each but the first is asked of a thing read in the right colour.
ASPECTS = ("colour", "object", "place")


def score_scenes(keys: Sequence[str], named: Sequence[Sequence[dict]], read: Sequence[Sequence[Reading]]) -> tuple:
    """Metrics and items of a generation benchmark.

    Args:
        keys: of the images.
        named: per image, the things in the prompt (``colour``, ``shape``, ``column``, ``row``).
        read: per image, what the reader saw.

    Returns:
        ``metrics``: name → value, low, high, n. Per image, ``colour`` is the share of named things with a thing of
        that colour; ``object`` with that colour and shape; ``place`` with that colour in that column and row; ``all``
        is 1 if every named thing is there in colour, shape and place; ``count`` is 1 if as many things are there as
        named; ``score`` is the mean of colour, object and place. ``items``: columns ``id`` and ``key`` (both the
        image's) and one per metric.
    """
    rows = [_image(things, readings) for things, readings in zip(named, read, strict=True)]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    metrics = {f"generation/{name}": vars(proportion(values, keys)) for name, values in columns.items()}
    items = {f"generation/{name}": values for name, values in columns.items()}
    return metrics, {"id": list(keys), "key": list(keys), **items}


def _image(things: Sequence[dict], readings: Sequence[Reading]) -> dict[str, float]:
    share = {
        "colour": _share(things, readings, lambda thing, reading: True),
        "object": _share(things, readings, lambda thing, reading: reading.shape == thing["shape"]),
        "place": _share(things, readings, _in_place),
    }
    whole = _share(
        things, readings, lambda thing, reading: reading.shape == thing["shape"] and _in_place(thing, reading)
    )
    return {
        **share,
        "all": float(whole == 1.0),
        "count": float(len(readings) == len(things)),
        "score": sum(share[aspect] for aspect in ASPECTS) / len(ASPECTS),
    }


def _share(things: Sequence[dict], readings: Sequence[Reading], fits) -> float:
    """Share of the things that have a reading of their colour that fits; no reading serves two things."""
    free, found = list(readings), 0
    for thing in things:
        chosen = next((r for r in free if r.colour == thing["colour"] and fits(thing, r)), None)
        if chosen is not None:
            free.remove(chosen)
            found += 1
    return found / len(things)


def _in_place(thing: dict, reading: Reading) -> bool:
    return (reading.column, reading.row) == (thing["column"], thing["row"])
