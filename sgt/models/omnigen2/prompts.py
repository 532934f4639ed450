"""The language model's prompts, in Qwen's chat format (``omnigen2.md`` 3): the checkpoint was trained with these."""

from dataclasses import dataclass

from tokenizers import Tokenizer

from sgt.models.tokenizer import token_id


class Marker(str):
    """A special token. In any other text its characters are characters."""


# A chat is markers and texts, one after another.
Parts = tuple[str, ...]

PAD, START, END = Marker("<|endoftext|>"), Marker("<|im_start|>"), Marker("<|im_end|>")
IMAGE_PAD = Marker("<|image_pad|>")
IMAGE = (Marker("<|vision_start|>"), IMAGE_PAD, Marker("<|vision_end|>"))
SPECIAL = (PAD, START, END, IMAGE[0], IMAGE[2], IMAGE_PAD)

# System texts: to generate an image, to generate one without a prompt (as in training), to answer (the template's).
MAKE = "You are a helpful assistant that generates high-quality images based on user instructions."
MAKE_WITHOUT_PROMPT = "You are a helpful assistant that generates images."
ANSWER = "You are a helpful assistant."
PROMPT_TEXTS = (MAKE, MAKE_WITHOUT_PROMPT, ANSWER, "system", "user", "assistant")

USER: Parts = (START, "user\n")
ASSISTANT: Parts = (START, "assistant\n")


def system(text: str) -> Parts:
    """The turn that every chat begins with."""
    return (START, "system\n", text, END, "\n")


def instruction(prompt: str | None, images: int = 0) -> Parts:
    """The chat whose states condition a generated image; None is a prompt that was dropped, as in training."""
    first = system(MAKE_WITHOUT_PROMPT if prompt is None else MAKE)
    return (*first, *USER, *IMAGE * images, prompt or "", END, "\n")


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the tokens that are not text."""

    pad: int
    end: int
    image: int


def special_tokens(tokenizer: Tokenizer) -> SpecialTokens:
    """Looked up by name.

    Raises:
        SgtError: the tokenizer lacks one.
    """
    return SpecialTokens(*(token_id(tokenizer, token) for token in (PAD, END, IMAGE_PAD)))
