"""Requests about single images, as most tests make them."""

from collections.abc import Sequence

from PIL import Image

from sgt.models.interface import Answerer, Decoding, Generator, Request, Sampling


def answers(
    model: Answerer,
    images: Sequence[Image.Image],
    questions: Sequence[Sequence[str]],
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    system: str | None = None,
) -> list[list[str]]:
    """Answers to ``questions[i]`` about ``images[i]``, in one call."""
    pairs = zip(images, questions, strict=True)
    requests = [Request((image, question), system) for image, some in pairs for question in some]
    replies = iter(model.answer(requests, Decoding(max_new_tokens, temperature, seed)))
    return [[next(replies).text for _ in some] for some in questions]


def whole_answer_logprobs(model: Answerer, image: Image.Image, question: str, options: Sequence[str]) -> list[float]:
    """Log-probability of each option as the whole answer, nats."""
    (found,) = model.loglikelihood([Request((image, question))], [options])
    return [each.logprob + each.end_logprob for each in found]


def generated(
    model: Generator,
    prompts: Sequence[str],
    seeds: Sequence[int],
    size: tuple[int, int],
    sampling: Sampling,
    images: Sequence[Image.Image] | None = None,
    edit: bool = False,
    system: str | None = None,
) -> list[Image.Image]:
    """One image per prompt, each about one of ``images`` if they are given."""
    contents = [(prompt,) for prompt in prompts]
    if images is not None:
        contents = list(zip(images, prompts, strict=True))
    requests = [Request(content, system) for content in contents]
    return model.generate(requests, sampling, seeds=seeds, size=size, edit=edit)
