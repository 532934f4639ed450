"""Training examples made from stored samples."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from PIL import Image

from sgt.data.conversations import IMAGE_MARK, check_conversation, check_questions, check_text
from sgt.data.dataset import ShardDataset
from sgt.data.images import decode_image, image_of
from sgt.data.mixture import Draw, generator
from sgt.data.shards import Sample
from sgt.data.toyworld.vocabulary import CAPTION_REQUEST
from sgt.errors import SgtError
from sgt.models.examples import Example, InputImage, QAPair, TargetImage, Text
from sgt.training.batch_loader import ExampleSource

# Rendering takes packages that training from shards does without.
if TYPE_CHECKING:
    from sgt.proxies.base import Proxy

SHARPEN_PROMPT = "sharpen the picture"


def vqa_example(sample: Sample, load_image: Callable[[Sample], Image.Image] = image_of) -> Example:
    """Questions with answers, about an image if there is one; only answers are supervised.

    Listed ``questions`` are independent, and none attends to another, since a question tells something about the image.
    A conversation (LLaVA-OneVision records) is one sequence in the order of its turns; the image is where ``<image>``
    is, or first if there is no such mark.

    Args:
        sample: with its JSON record.
        load_image: decodes the sample's image.

    Raises:
        SgtError: the record has neither of the two, or a malformed one.
    """
    record, where = sample.json(), f"{sample.shard}: {sample.key}.json"
    image: list[InputImage | Text] = [InputImage(load_image(sample), vqa=True)] if sample.has_image else []
    if "questions" in record:
        questions = check_questions(record["questions"], where)
        if "caption" in record:
            questions.append((CAPTION_REQUEST, caption_of(sample)))
        if not questions:
            raise SgtError(where, "no questions", "leave this sample out")
        return [*image, *(QAPair(question, answer) for question, answer in questions)]
    if not record.get("conversations"):
        raise SgtError(where, "no questions", "use a dataset of questions")
    parts: list[InputImage | Text] = []
    for turn in check_conversation(record["conversations"], bool(image), where):
        if turn["from"] == "gpt":
            parts.append(Text(turn["value"].strip(), supervised=True))
            continue
        before, mark, after = turn["value"].partition(IMAGE_MARK)
        request = [Text(before.strip()), *(image if mark else []), Text(after.strip())]
        parts += [part for part in request if part != Text("")]
    return parts if any(isinstance(part, InputImage) for part in parts) else image + parts


def proxy_example(
    proxy: "Proxy", sample: Sample, target: Image.Image, draw: Draw, seed: int, text_dropout: float
) -> Example:
    """The conditioned image, one of the proxy's prompts, and the rendered target.

    The prompt, its dropout and the conditioning are drawn from (seed, draw) alone.
    """
    rng = generator(seed, f"proxy {proxy.name}", draw.number)
    prompt = proxy.prompts[rng.integers(len(proxy.prompts))]
    dropped = rng.random() < text_dropout
    image = InputImage(proxy.condition(image_of(sample), rng))
    return [image, *([] if dropped else [Text(prompt)]), TargetImage(target)]


def caption_of(sample: Sample) -> str:
    """The caption in a sample's record.

    Raises:
        SgtError: it has none.
    """
    return check_text(sample.json().get("caption"), "caption", f"{sample.shard}: {sample.key}.json")


def caption_example(sample: Sample, draw: Draw, seed: int, text_dropout: float) -> Example:
    """Text to image: the caption, dropped at random, and the image."""
    dropped = generator(seed, "caption", draw.number).random() < text_dropout
    return [*([] if dropped else [Text(caption_of(sample))]), TargetImage(image_of(sample))]


def edit_example(sample: Sample) -> Example:
    """An image, an instruction, and the edited image.

    Raises:
        SgtError: the sample has no edit.
    """
    instruction = instruction_of(sample)
    edited = decode_image(sample.get("edit.jpg"), f"{sample.shard}: {sample.key}.edit.jpg")
    return [InputImage(image_of(sample)), Text(instruction), TargetImage(edited)]


def instruction_of(sample: Sample) -> str:
    """The instruction of a sample's edit.

    Raises:
        SgtError: it has none.
    """
    where, edit = f"{sample.shard}: {sample.key}.json", sample.json().get("edit")
    return check_text(edit.get("instruction") if isinstance(edit, dict) else None, "edit.instruction", where)


def sharpen_example(sample: Sample, draw: Draw, seed: int) -> Example:
    """Super-resolution: the image at a half to a quarter of its resolution, scaled up again, and the image itself."""
    image = image_of(sample)
    factor = int(generator(seed, "sharpen", draw.number).integers(2, 5))
    small = image.resize((max(image.width // factor, 1), max(image.height // factor, 1)), Image.Resampling.BOX)
    blurred = small.resize(image.size, Image.Resampling.BICUBIC)
    return [InputImage(blurred), Text(SHARPEN_PROMPT), TargetImage(image)]


def _source(dataset: ShardDataset, make: Callable[[Draw], Example], makes_image: bool = True) -> ExampleSource:
    return ExampleSource(make, lambda draw: dataset.name(draw.index), len(dataset), makes_image)


def vqa_source(dataset: ShardDataset) -> ExampleSource:
    """Examples of a dataset of questions."""
    return _source(dataset, lambda draw: vqa_example(dataset[draw.index]), makes_image=False)


def caption_source(dataset: ShardDataset, seed: int, text_dropout: float) -> ExampleSource:
    """Text-to-image examples of a captioned dataset."""
    return _source(dataset, lambda draw: caption_example(dataset[draw.index], draw, seed, text_dropout))


def edit_source(dataset: ShardDataset) -> ExampleSource:
    """Examples of a dataset with edits."""
    return _source(dataset, lambda draw: edit_example(dataset[draw.index]))


def sharpen_source(dataset: ShardDataset, seed: int) -> ExampleSource:
    """Super-resolution examples of the images of a dataset."""
    return _source(dataset, lambda draw: sharpen_example(dataset[draw.index], draw, seed))


def proxy_source(
    proxy: "Proxy", source: ShardDataset, target_of: Callable[[int], Image.Image], seed: int, text_dropout: float
) -> ExampleSource:
    """Examples of a proxy.

    Args:
        proxy: for its prompts and conditioning.
        source: the input images.
        target_of: the target image of the sample of an index.
        seed, text_dropout: see :func:`proxy_example`.
    """

    def make(draw: Draw) -> Example:
        return proxy_example(proxy, source[draw.index], target_of(draw.index), draw, seed, text_dropout)

    return _source(source, make)
