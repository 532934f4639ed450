"""From stored samples to training examples: what the model is shown, told, and asked to make."""

from collections.abc import Callable

from PIL import Image

from sgt.data.conversations import IMAGE_MARK, check_conversation
from sgt.data.dataset import ShardDataset
from sgt.data.images import decode_image
from sgt.data.mixture import Draw, generator
from sgt.data.shards import Sample
from sgt.data.toyworld.vocabulary import CAPTION_REQUEST
from sgt.errors import SgtError
from sgt.models.examples import Example, Exchange, MadeImage, SeenImage, Words
from sgt.proxies.base import Proxy
from sgt.training.stream import Supply


def image_of(sample: Sample) -> Image.Image:
    """The decoded input image of a sample."""
    return decode_image(sample.get("jpg"), f"{sample.shard}: {sample.key}.jpg")


def vqa_example(sample: Sample) -> Example:
    """What is asked, about an image if there is one; answers are learned, questions are not.

    Listed ``questions`` are independent, so none sees another: a question tells what is in the picture. A
    conversation (LLaVA-OneVision records) is one text in the order of its turns, the image where ``<image>`` stands,
    or before everything if it stands nowhere.

    Raises:
        SgtError: the record has neither, or is no conversation.
    """
    record = sample.json()
    shown = [SeenImage(image_of(sample), asked=True)] if "jpg" in sample.files else []
    if "questions" in record:
        asked = [(question["question"], question["answer"]) for question in record["questions"]]
        described = [(CAPTION_REQUEST, record["caption"])] if "caption" in record else []
        return shown + [Exchange(question, answer) for question, answer in asked + described]
    where = f"{sample.shard}: {sample.key}.json"
    if not record.get("conversations"):
        raise SgtError(where, "no questions", "use a dataset of questions")
    parts: list[SeenImage | Words] = []
    for turn in check_conversation(record["conversations"], bool(shown), where):
        if turn["from"] == "gpt":
            parts.append(Words(turn["value"].strip(), learned=True))
            continue
        before, mark, after = turn["value"].partition(IMAGE_MARK)
        for part in (Words(before.strip()), *(shown if mark else []), Words(after.strip())):
            if part != Words(""):
                parts.append(part)
    return parts if any(isinstance(part, SeenImage) for part in parts) else shown + parts


def proxy_example(
    proxy: Proxy, sample: Sample, target: Image.Image, draw: Draw, seed: int, text_dropout: float
) -> Example:
    """The proxy's view of the image, one of its instructions, and the rendered target.

    The instruction, its dropout and the degradation are drawn from (seed, draw) alone.
    """
    rng = generator(seed, f"proxy {proxy.name}", draw.number)
    prompt = proxy.prompts[rng.integers(len(proxy.prompts))]
    dropped = rng.random() < text_dropout
    seen = SeenImage(proxy.condition(image_of(sample), rng))
    return [seen, *([] if dropped else [Words(prompt)]), MadeImage(target)]


def caption_example(sample: Sample, draw: Draw, seed: int, text_dropout: float) -> Example:
    """Text to image: the caption, sometimes dropped, and the image."""
    dropped = generator(seed, "caption", draw.number).random() < text_dropout
    caption = sample.json()["caption"]
    return [*([] if dropped else [Words(caption)]), MadeImage(image_of(sample))]


def vqa_supply(dataset: ShardDataset) -> Supply:
    """Examples of a dataset of questions."""
    return Supply(lambda draw: vqa_example(dataset[draw.index]), lambda draw: dataset.name(draw.index), len(dataset))


def caption_supply(dataset: ShardDataset, seed: int, text_dropout: float) -> Supply:
    """Text-to-image examples of a captioned dataset."""
    return Supply(
        lambda draw: caption_example(dataset[draw.index], draw, seed, text_dropout),
        lambda draw: dataset.name(draw.index),
        len(dataset),
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

    return Supply(make, lambda draw: source.name(draw.index), len(source))
