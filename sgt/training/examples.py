"""From stored samples to training examples: what the model is shown, told, and asked to make."""

from collections.abc import Callable

from PIL import Image

from sgt.data.conversations import IMAGE_MARK, check_conversation, check_questions, check_text
from sgt.data.dataset import ShardDataset
from sgt.data.images import image_of
from sgt.data.mixture import Draw, generator
from sgt.data.shards import Sample
from sgt.data.toyworld.vocabulary import CAPTION_REQUEST
from sgt.errors import SgtError
from sgt.models.examples import Example, InputImage, QAPair, TargetImage, Text
from sgt.proxies.base import Proxy
from sgt.training.stream import Supply


def vqa_example(sample: Sample, look: Callable[[Sample], Image.Image] = image_of) -> Example:
    """What is asked, about an image if there is one; answers are learned, questions are not.

    Listed ``questions`` are independent, so none sees another: a question tells what is in the picture. A
    conversation (LLaVA-OneVision records) is one text in the order of its turns, the image where ``<image>`` stands,
    or before everything if it stands nowhere.

    Args:
        sample: with its record.
        look: gives the sample's picture.

    Raises:
        SgtError: the record has neither, is no conversation, or lacks a text.
    """
    record, where = sample.json(), f"{sample.shard}: {sample.key}.json"
    shown = [InputImage(look(sample), vqa=True)] if sample.has_image else []
    if "questions" in record:
        asked = check_questions(record["questions"], where)
        if "caption" in record:
            asked.append((CAPTION_REQUEST, caption_of(sample)))
        if not asked:
            raise SgtError(where, "no questions", "leave this sample out")
        return shown + [QAPair(question, answer) for question, answer in asked]
    if not record.get("conversations"):
        raise SgtError(where, "no questions", "use a dataset of questions")
    parts: list[InputImage | Text] = []
    for turn in check_conversation(record["conversations"], bool(shown), where):
        if turn["from"] == "gpt":
            parts.append(Text(turn["value"].strip(), supervised=True))
            continue
        before, mark, after = turn["value"].partition(IMAGE_MARK)
        for part in (Text(before.strip()), *(shown if mark else []), Text(after.strip())):
            if part != Text(""):
                parts.append(part)
    return parts if any(isinstance(part, InputImage) for part in parts) else shown + parts


def proxy_example(
    proxy: Proxy, sample: Sample, target: Image.Image, draw: Draw, seed: int, text_dropout: float
) -> Example:
    """The proxy's view of the image, one of its instructions, and the rendered target.

    The instruction, its dropout and the degradation are drawn from (seed, draw) alone.
    """
    rng = generator(seed, f"proxy {proxy.name}", draw.number)
    prompt = proxy.prompts[rng.integers(len(proxy.prompts))]
    dropped = rng.random() < text_dropout
    seen = InputImage(proxy.condition(image_of(sample), rng))
    return [seen, *([] if dropped else [Text(prompt)]), TargetImage(target)]


def caption_of(sample: Sample) -> str:
    """What a sample's record says is in the picture.

    Raises:
        SgtError: it has no such text.
    """
    return check_text(sample.json().get("caption"), "caption", f"{sample.shard}: {sample.key}.json")


def caption_example(sample: Sample, draw: Draw, seed: int, text_dropout: float) -> Example:
    """Text to image: the caption, sometimes dropped, and the image."""
    dropped = generator(seed, "caption", draw.number).random() < text_dropout
    return [*([] if dropped else [Text(caption_of(sample))]), TargetImage(image_of(sample))]


def vqa_supply(dataset: ShardDataset) -> Supply:
    """Examples of a dataset of questions."""
    return Supply(lambda draw: vqa_example(dataset[draw.index]), lambda draw: dataset.name(draw.index), len(dataset))


def caption_supply(dataset: ShardDataset, seed: int, text_dropout: float) -> Supply:
    """Text-to-image examples of a captioned dataset."""
    return Supply(
        lambda draw: caption_example(dataset[draw.index], draw, seed, text_dropout),
        lambda draw: dataset.name(draw.index),
        len(dataset),
        makes_image=True,
    )


def proxy_supply(
    proxy: Proxy, source: ShardDataset, target_of: Callable[[int], Image.Image], seed: int, text_dropout: float
) -> Supply:
    """Examples of a proxy.

    Args:
        proxy: for its instructions and degradation.
        source: the images that are shown.
        target_of: the image to make from the source's sample of an index.
        seed, text_dropout: see :func:`proxy_example`.
    """

    def make(draw: Draw) -> Example:
        return proxy_example(proxy, source[draw.index], target_of(draw.index), draw, seed, text_dropout)

    return Supply(make, lambda draw: source.name(draw.index), len(source), makes_image=True)
