"""How attention is shared out: from questions to the image while answering, from latents to the prompt while drawing.

Every share is of one item and one layer, averaged over heads. ``model`` are the attention weights that the layer used;
``released`` are those of the released analysis code, for comparison with the published figures: see
:meth:`sgt.models.capture.Capturer.capture`.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import dropwhile

from PIL import Image

from sgt.data.conversations import IMAGE_MARK
from sgt.data.dataset import ShardDataset
from sgt.data.images import image_of
from sgt.data.shards import Sample
from sgt.errors import SgtError
from sgt.models.capture import Captured, NoisyTarget
from sgt.models.interface import Request
from sgt.models.keywords import KeywordFinder
from sgt.models.unified import UnifiedModel

log = logging.getLogger("sgt")
MODEL, RELEASED = "model", "released"
FORMS = (MODEL, RELEASED)
QUESTION_TO_VISION, ANSWER_TO_VISION = "question_to_vision", "answer_to_vision"
LATENTS_TO_PROMPT, LATENTS_TO_KIND = "latents_to_prompt", "latents_to_{}"
# So many samples are in memory at once.
AT_ONCE = 64
DIGITS = 6
# Per item and layer; None where an item has no such words.
Shares = list[list[float | None]]
# The keys of the items, and by form and measure their shares.
Found = dict[str, list[str] | dict[str, Shares]]


def while_answering(model: UnifiedModel, dataset: ShardDataset) -> Found:
    """Of the attention of questions about images, the share that falls on the image.

    ``question_to_vision`` is from the words of the question, ``answer_to_vision`` from the token whose state gives the
    answer's first token. In the released form, the question is two of its last tokens and the image has its markers.

    Args:
        model: answers.
        dataset: samples without an image, or without a question about it, are left out, and so are those that are
            damaged, or too narrow for the model.
    """
    spans = ("image", "frame", "text", "answer", "tail")
    image, frame, text, answer, tail = range(len(spans))
    found = _Found()
    for some in _chunks(dataset):
        asked = _usable(model, some, question_of)
        requests = [Request((picture, question)) for _, picture, question in asked]
        captured = model.capture(requests, None, spans, states=False, released=True)
        for (key, *_), each in zip(asked, captured, strict=True):
            found.keys.append(key)
            found.add(MODEL, QUESTION_TO_VISION, [own[text, image] for own in _layers(each.attention)])
            found.add(MODEL, ANSWER_TO_VISION, [own[answer, image] for own in _layers(each.attention)])
            if each.released:
                of_tail = [shares[tail, [image, frame]].sum() for shares in _layers(each.released)]
                found.add(RELEASED, QUESTION_TO_VISION, of_tail)
    return found.record()


def while_generating(
    model: UnifiedModel, dataset: ShardDataset, times: Sequence[float], keywords: KeywordFinder, kinds: Sequence[str]
) -> Found:
    """Of the attention of noisy latents, the share that falls on the prompt, and how it is divided among its keywords.

    ``latents_to_prompt`` is the share that falls on the words of the prompt; ``latents_to_KIND`` what keywords of a
    kind have of the attention that falls on keywords, so that the kinds add up to one. All are means over some times of
    the flow. In the released form, latents attend to the cached prompt alone, so the first has no meaning there.

    Args:
        model: draws.
        dataset: samples without an image, or without a caption, are left out, and so are those that are damaged, or
            too narrow for the model.
        times: of the flow, 1 being noise, at which the latents of the image are made noisy.
        keywords: finds them in captions.
        kinds: that it finds.
    """
    spans = ("target", "text", *(f"text.{kind}" for kind in kinds))
    found = _Found()
    for some in _chunks(dataset):
        prompts = _usable(model, some, caption_of)
        requests, images = [Request((caption,)) for *_, caption in prompts], [image for _, image, _ in prompts]
        by_time = [_at(model, requests, images, time, spans, keywords) for time in times]
        for place, (key, _, caption) in enumerate(prompts):
            found.keys.append(key)
            passes = [captured[place] for captured in by_time]
            present = {keyword.kind for keyword in keywords(caption)}
            for form in FORMS:
                _add_generating(found, form, passes, kinds, present)
    return found.record()


def question_of(sample: Sample) -> str | None:
    """The first question about a sample's image; None if there is none."""
    record = sample.json()
    if questions := record.get("questions"):
        return questions[0]["question"]
    asked = (turn["value"] for turn in record.get("conversations", ()) if turn["from"] == "human")
    return next(asked, "").replace(IMAGE_MARK, "").strip() or None


def questions_of(sample: Sample) -> list[tuple[str, str]]:
    """The questions about a sample's image with their right answers; of a conversation the first alone."""
    record = sample.json()
    if questions := record.get("questions"):
        return [(each["question"], each["answer"]) for each in questions]
    turns = dropwhile(lambda turn: turn["from"] != "human", record.get("conversations", ()))
    answers = [turn["value"] for turn in turns if turn["from"] == "gpt"]
    question = question_of(sample)
    return [(question, answers[0])] if question and answers else []


def caption_of(sample: Sample) -> str | None:
    """What a sample's image is described as; None if it has no caption."""
    return sample.json().get("caption")


class _Found:
    """Shares of items, one item after another."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.forms: dict[str, dict[str, Shares]] = {}

    def add(self, form: str, measure: str, layers: Sequence) -> None:
        """The shares of one item, by layer."""
        rounded = [None if share is None else round(float(share), DIGITS) for share in layers]
        self.forms.setdefault(form, {}).setdefault(measure, []).append(rounded)

    def record(self) -> Found:
        """As JSON."""
        return {"key": self.keys, **self.forms}


def _chunks(dataset: ShardDataset) -> Iterator[list[Sample]]:
    """Samples with an image, in order."""
    for start in range(0, len(dataset), AT_ONCE):
        samples = [dataset[place] for place in range(start, min(start + AT_ONCE, len(dataset)))]
        yield [sample for sample in samples if sample.has_image]


def _usable(
    model: UnifiedModel, samples: Sequence[Sample], text_of: Callable[[Sample], str | None]
) -> list[tuple[str, Image.Image, str]]:
    """Key, image and text of the samples that have a text; those that are damaged or too narrow are left out."""
    found = []
    for sample in samples:
        try:
            if text := text_of(sample):
                image = image_of(sample)
                model.request_tokens(Request((image, text)))
                found.append((sample.key, image, text))
        except SgtError as error:
            log.warning("left out: %s", error)
    return found


def _at(
    model: UnifiedModel,
    requests: Sequence[Request],
    images: Sequence[Image.Image],
    time: float,
    spans: Sequence[str],
    keywords: KeywordFinder,
) -> list[Captured]:
    # The noise of each image depends on its caption, too.
    target = NoisyTarget(images, time, [0] * len(images))
    return model.capture(requests, None, spans, target=target, states=False, released=True, keywords=keywords)


def _add_generating(
    found: _Found, form: str, passes: Sequence[Captured], kinds: Sequence[str], present: Collection[str]
) -> None:
    """Add the shares of one prompt in one form, from a pass per time; nothing if the passes lack the form."""
    # Layer by layer, the attention of the latents at each time.
    by_layer = zip(*(_layers(_of_form(each, form)) for each in passes), strict=True)
    layers = [[each[0] for each in layer] for layer in by_layer]
    if not layers:
        return
    if form == MODEL:
        found.add(form, LATENTS_TO_PROMPT, [sum(row[1] for row in rows) / len(rows) for rows in layers])
    for index, kind in enumerate(kinds, 2):
        shares = [sum(row[index] / row[2:].sum() for row in rows) / len(rows) for rows in layers]
        found.add(form, LATENTS_TO_KIND.format(kind), shares if kind in present else [None] * len(shares))


def _of_form(captured: Captured, form: str) -> dict:
    return captured.attention if form == MODEL else captured.released


def _layers(attention: dict) -> list:
    return [attention[layer] for layer in sorted(attention)]
