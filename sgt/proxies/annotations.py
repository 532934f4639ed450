"""The list of annotations in a sample's record (``KEY.json``)."""

from itertools import pairwise

from sgt.data.shards import Sample
from sgt.errors import SgtError

MAX_ANNOTATIONS = 10_000


def annotations(sample: Sample) -> list[dict]:
    """A sample's annotations by ascending id.

    Raises:
        SgtError: there is no list of annotations, or one has no whole-number id of its own.
    """
    where = f"{sample.shard}: {sample.key}.json"
    listed = sample.json().get("annotations")
    if not isinstance(listed, list):
        raise SgtError(where, "no list of annotations", "use a dataset with masks")
    if len(listed) > MAX_ANNOTATIONS:
        raise SgtError(where, f"{len(listed)} annotations are too many", "leave this sample out")
    for index, annotation in enumerate(listed):
        if not isinstance(annotation, dict) or type(annotation.get("id")) is not int:
            raise SgtError(f"{where}: annotations[{index}]", "no whole-number id", "leave this sample out")
    listed = sorted(listed, key=lambda annotation: annotation["id"])
    for one, other in pairwise(listed):
        if one["id"] == other["id"]:
            raise SgtError(f"{where}: annotation {one['id']}", "two annotations have this id", "leave this sample out")
    return listed
