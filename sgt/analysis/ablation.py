"""Asking a model the questions of a benchmark, as it is and with what text reads from images ablated in some layers."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace

from sgt.analysis.attention import questions_of
from sgt.data.dataset import ShardDataset
from sgt.data.images import image_of
from sgt.errors import SgtError
from sgt.evaluation.limit import Samples
from sgt.evaluation.predict import SAMPLES_PER_CHUNK
from sgt.evaluation.score import score_predictions
from sgt.evaluation.task import AnyReply, Row, Task
from sgt.models.interface import Request
from sgt.models.unified import UnifiedModel
from sgt.models.vision_reads import MeanAblation, MeanReads
from sgt.progress import Progress

log = logging.getLogger("sgt")
DIGITS = 6
# The questions as the model answers them when nothing is ablated.
INTACT = ""


def mean_reads(model: UnifiedModel, dataset: ShardDataset, layers: Sequence[int]) -> tuple[MeanReads, int]:
    """What text reads from images on average, while questions are read and their right answers follow.

    Args:
        model: whose reads are averaged.
        dataset: the reference set; samples without an image, or without a question about it, are left out, and so are
            those that are damaged, or too narrow for the model.
        layers: of the language model.

    Returns:
        The means, and over how many questions they are.

    Raises:
        SgtError: there is no question about an image.
    """
    reads, asked = MeanReads(layers), 0
    for sample in (dataset[place] for place in range(len(dataset))):
        try:
            if not sample.has_image or not (questions := questions_of(sample)):
                continue
            image = image_of(sample)
            # Questions about one image share its tokens, which count once, however many questions fit in memory.
            requests = [Request((image, question)) for question, _ in questions]
            model.request_tokens(requests[0])
        except SgtError as error:
            log.warning("left out: %s", error)
            continue
        reads.add(_reads_once(model, layers, requests, [[answer] for _, answer in questions]))
        asked += len(requests)
    if not asked:
        raise SgtError("reference set", "no sample has an image with a question", "name another dataset")
    return reads, asked


def _reads_once(
    model: UnifiedModel, layers: Sequence[int], requests: Sequence[Request], answers: Sequence[Sequence[str]]
) -> MeanReads:
    """The reads of some requests and their answers.

    A batch that does not fit in memory fails after some layers were collected, and is tried again in parts. What was
    collected is then dropped, and all is read again, in batches that fit.
    """
    while True:
        reads, limits = MeanReads(layers), dict(model.batch_sizes.limits)
        with model.reading_vision(reads):
            model.loglikelihood(requests, answers)
        if model.batch_sizes.limits == limits:
            return reads


def asked_under_ablation(
    model: UnifiedModel,
    task: Task,
    samples: Samples,
    reply: Callable[[list[Row]], Sequence[AnyReply]],
    reads: MeanReads,
    sets: Sequence[Sequence[int]],
) -> dict[str, dict[str, list]]:
    """The table of items of a benchmark (see :func:`~sgt.evaluation.score.score_predictions`), once for each condition.

    Args:
        model: answers.
        task, samples: of the benchmark.
        reply: the model's replies to rows.
        reads: the means that replace what text reads.
        sets: of layers that are ablated together.

    Returns:
        By condition, which :func:`name_of` names: with nothing ablated, then with each set.
    """
    conditions = {INTACT: nullcontext()} | {
        name_of(layers): model.reading_vision(MeanAblation(layers, reads.means)) for layers in sets
    }
    progress = Progress("conditions", len(conditions))
    tables = {}
    for name, context in conditions.items():
        with context:
            tables[name] = _rounded(score_predictions(task, _predictions(task, samples, reply)).items)
        progress.add()
    return tables


def name_of(layers: Sequence[int]) -> str:
    """The name of the condition in which these layers are ablated: ``0 2``."""
    return " ".join(map(str, layers))


def _predictions(
    task: Task, samples: Samples, reply: Callable[[list[Row]], Sequence[AnyReply]]
) -> Iterator[tuple[Row, AnyReply]]:
    """Rows without their images, as in prediction files, with the replies to them."""
    for start in range(0, len(samples), SAMPLES_PER_CHUNK):
        places = range(start, min(start + SAMPLES_PER_CHUNK, len(samples)))
        rows = list(task.rows(samples[place] for place in places))
        for row, answer in zip(rows, reply(rows), strict=True):
            yield replace(row, images=()), answer


def _rounded(items: dict[str, list]) -> dict[str, list]:
    return {
        name: [round(value, DIGITS) if isinstance(value, float) else value for value in column]
        for name, column in items.items()
    }
