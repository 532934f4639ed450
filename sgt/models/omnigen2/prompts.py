"""What the language model is told, in Qwen's chat format (``omnigen2.md`` 3): the checkpoint was trained with these."""

from dataclasses import dataclass

from tokenizers import Tokenizer

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"

# To make an image; to make one without a prompt (as in training); to answer (the chat template's own).
MAKE = "You are a helpful assistant that generates high-quality images based on user instructions."
MAKE_WITHOUT_PROMPT = "You are a helpful assistant that generates images."
ANSWER = "You are a helpful assistant."
SAID = (MAKE, MAKE_WITHOUT_PROMPT, ANSWER, "system", "user", "assistant")

USER = "<|im_start|>user\n"
ASSISTANT = "<|im_start|>assistant\n"
END = "<|im_end|>"


def system(text: str) -> str:
    """The turn that every chat begins with."""
    return f"<|im_start|>system\n{text}{END}\n"


def instruction(prompt: str | None, images: int = 0) -> str:
    """The chat whose states an image is made from; without a prompt (None), as dropped ones are in training."""
    told = system(MAKE_WITHOUT_PROMPT if prompt is None else MAKE)
    return f"{told}{USER}{IMAGE * images}{prompt or ''}{END}\n"


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the tokens that stand for something else than text."""

    pad: int
    end: int
    image: int


def special_tokens(tokenizer: Tokenizer) -> SpecialTokens:
    """Looked up by name."""
    return SpecialTokens(*(tokenizer.token_to_id(token) for token in ("<|endoftext|>", END, "<|image_pad|>")))
