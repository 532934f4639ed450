"""Our models as a model of lmms-eval: its requests become ours.

It is imported in the environment that ``make lmms-eval`` makes. By lmms-eval's own command the model is
``lmms-eval --model sgt --model_args model=NAME``; ``sgt lmms-eval`` needs fewer words.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from PIL import Image

from sgt.app.find import find_model
from sgt.errors import SgtError
from sgt.models.registry import load_model
from sgt.models.requests import Decoding, Reply, Request
from sgt.progress import Progress

# Of this many requests, images are held at once and one that is there several times is encoded once.
REQUESTS_PER_CHUNK = 60
# Tokens of a reply where a task does not limit it, as in our own protocol `lmms-eval`: that of BAGEL's evaluation.
MAX_NEW_TOKENS = 100
IMAGE_TAG = "<image>"
# lmms-eval ends replies of tasks that name no end at the delimiter of examples. As its wrappers of Qwen do, we do not.
DEFAULT_END = "\n\n"


class Generation(NamedTuple):
    """What a task says about generating, without what has no effect.

    Attributes:
        decoding: how tokens are chosen.
        ends: texts that end a reply, which is cut off before the first of each.
    """

    decoding: Decoding
    ends: tuple[str, ...]


class SgtModel(lmms):
    """One of our models, by its name.

    Args:
        model: as :func:`~sgt.app.find.find_model` takes it.
        device: that of the model's file if None.
        batch_size, max_batch_size: accepted from lmms-eval and not used: batches are as large as memory allows.

    Raises:
        SgtError: there is no such model.
    """

    def __init__(
        self,
        model: str,
        device: str | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
    ) -> None:
        super().__init__()
        spec, checkpoint = find_model(model)
        torch.set_num_threads(spec.predict.threads)
        self.answerer = load_model(spec, checkpoint, device=torch.device(device) if device else None)

    def generate_until(self, requests: Sequence[Instance]) -> list[GenerationResult]:
        """Replies in words, with the number of their tokens.

        Raises:
            SgtError: a task needs what our models do not do: sound, video or beam search.
        """
        results: list[GenerationResult] = []
        for chunk in _chunks(requests):
            shared: dict[tuple, Image.Image] = {}
            asked = []
            for context, options, doc_to_visual, doc_id, task, split in (each.args for each in chunk):
                request = self._request(context, doc_to_visual, self.task_dict[task][split][doc_id], shared, task)
                asked.append((generation(options, task), request))
            for given, group in groupby(asked, key=lambda pair: pair[0]):
                replies = self.answerer.answer([request for _, request in group], given.decoding)
                results += [_result(reply, given.ends) for reply in replies]
        return results

    def loglikelihood(self, requests: Sequence[Instance]) -> list[GenerationResult]:
        """Of each continuation its loss, and whether it is what the model itself would begin its answer with.

        As in lmms-eval's own models, and other than its documentation has it, the first is the mean negative
        log-likelihood of the continuation's tokens, nats: its scorer of multiple choice takes the smallest. The pair is
        in a ``GenerationResult``, as the evaluator of 0.7.3 makes a text of a bare one, which its scorer cannot read.
        """
        results = []
        for chunk in _chunks(requests):
            shared: dict[tuple, Image.Image] = {}
            asked, continuations = [], []
            for context, target, doc_to_visual, doc_id, task, split in (each.args for each in chunk):
                doc = self.task_dict[task][split][doc_id]
                asked.append(self._request(context, doc_to_visual, doc, shared, task))
                text = target(doc) if callable(target) else target
                # The chat templates of our families put no blank before an answer.
                continuations.append(str(text).strip())
            rated = self.answerer.loglikelihood(asked, [[text] for text in continuations])
            longest = max(likelihood.tokens for (likelihood,) in rated)
            replies = self.answerer.answer(asked, Decoding(longest))
            for (likelihood,), reply, text in zip(rated, replies, continuations, strict=True):
                loss = -likelihood.logprob / max(likelihood.tokens, 1)
                results.append(GenerationResult((loss, reply.text.startswith(text))))
        return results

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[str]:
        """Not possible.

        Raises:
            SgtError: always.
        """
        raise SgtError("lmms-eval", "a task asks in several rounds, which is not supported", "leave that task out")

    def _request(
        self, context: str, doc_to_visual: Callable[[Any], Any], doc: Any, shared: dict[tuple, Image.Image], task: str
    ) -> Request:
        visuals = doc_to_visual(doc) if callable(doc_to_visual) else []
        images = []
        for visual in visuals or ():
            if not isinstance(visual, Image.Image):
                problem = f"an input is a {type(visual).__name__}, and models of sgt take images alone"
                raise SgtError(f"lmms-eval task {task}", problem, "leave that task out")
            images.append(shared.setdefault((visual.mode, visual.size, visual.tobytes()), visual))
        return Request(interleaved(context, images))


def interleaved(context: str, images: Sequence[Image.Image]) -> list[str | Image.Image]:
    """The content of a request: images in the place of their tags, or before a text that has not a tag for each."""
    texts = context.split(IMAGE_TAG)
    if not images or len(texts) != len(images) + 1:
        return [*images, context]
    content: list[str | Image.Image] = []
    for text, image in zip(texts, [*images, None], strict=True):
        content += [text.strip()] if text.strip() else []
        content += [image] if image is not None else []
    return content


def generation(options: Mapping[str, Any], task: str) -> Generation:
    """What the ``generation_kwargs`` of a task ask for.

    Raises:
        SgtError: beams, or a share of the probability to draw tokens from.
    """
    temperature = options.get("temperature")
    if temperature is None:
        temperature = 1.0 if options.get("do_sample") else 0.0
    drawn = temperature > 0 and options.get("do_sample") is not False
    where, remedy = f"lmms-eval task {task}", "change its generation_kwargs in a file of --include-path"
    if (options.get("num_beams") or 1) > 1:
        raise SgtError(where, f"num_beams is {options['num_beams']}: beam search is not supported", remedy)
    if drawn and (options.get("top_p") or 1.0) < 1.0:
        raise SgtError(where, f"top_p is {options['top_p']}: only sampling from all tokens is supported", remedy)
    ends = options.get("until") or ()
    kept = tuple(each for each in ([ends] if isinstance(ends, str) else ends) if each and each != DEFAULT_END)
    limit = options.get("max_new_tokens") or MAX_NEW_TOKENS
    return Generation(Decoding(limit, temperature if drawn else 0.0), kept)


def _result(reply: Reply, ends: Sequence[str]) -> GenerationResult:
    text = reply.text
    for end in ends:
        text = text.partition(end)[0]
    return GenerationResult(text, TokenCounts(output_tokens=reply.tokens))


def _chunks(requests: Sequence[Instance]) -> Iterable[Sequence[Instance]]:
    progress = Progress("requests", len(requests))
    for start in range(0, len(requests), REQUESTS_PER_CHUNK):
        chunk = requests[start : start + REQUESTS_PER_CHUNK]
        yield chunk
        progress.add(len(chunk))
