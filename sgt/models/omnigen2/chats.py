"""Training examples and prompts as chats of the language model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from PIL import Image
from tokenizers import Tokenizer

from sgt.models.examples import Example, InputImage, QAPair, TargetImage, Text
from sgt.models.interface import Request
from sgt.models.omnigen2.prompts import (
    ANSWER,
    ASSISTANT,
    END,
    IMAGE,
    USER,
    Marker,
    Parts,
    instruction,
    special_tokens,
    system,
)
from sgt.models.omnigen2.rows import Chat, ImagePatches
from sgt.models.tokenizer import token_id, without_special


@dataclass(frozen=True)
class Piece:
    """A part of a chat.

    Attributes:
        parts: texts and markers, with those of each image.
        images: in order.
        answer: supervised, after the parts, if there is one.
        aside: nothing after it attends to it.
    """

    parts: Parts
    images: Sequence[Image.Image]
    answer: str | None = None
    aside: bool = False


class ChatBuilder:
    """Makes chats.

    Args:
        tokenizer: of the checkpoint, with the special tokens in it.
        limit: positions the language model has.
        prepare: makes the vision tower's patches of an image.
    """

    def __init__(self, tokenizer: Tokenizer, limit: int, prepare: Callable[[Image.Image], ImagePatches]) -> None:
        self.tokenizer, self.limit, self.prepare = tokenizer, limit, prepare
        self.special, self.plain = special_tokens(tokenizer), without_special(tokenizer)

    def ids(self, *parts: str) -> list[int]:
        """Token ids of texts and markers, one after another; what lies between two markers is tokenised as one text."""
        found: list[int] = []
        for are_markers, some in groupby(parts, lambda part: isinstance(part, Marker)):
            if are_markers:
                found += [token_id(self.tokenizer, marker) for marker in some]
            else:
                found += self.plain.encode("".join(some), add_special_tokens=False).ids
        return found

    def instruction(self, prompt: str | None, images: Sequence[Image.Image] = ()) -> Chat:
        """The chat whose states condition a generated image; see :func:`sgt.models.omnigen2.prompts.instruction`."""
        chat = Chat(self.special, self.limit)
        chat.add(self.ids(*instruction(prompt, len(images))), [self.prepare(image) for image in images])
        return chat

    def prefix(self, request: Request) -> Chat:
        """The beginning of a chat: the system turn and, if the request ends in an image, the user's turn so far.

        A prefix without images ends with the system turn's end marker: text is tokenised from marker to marker.
        """
        parts: Parts = system(request.system or ANSWER)
        parts = (*parts, *USER, *_content(request.content)) if request.content else parts[:-1]
        chat = Chat(self.special, self.limit)
        chat.add(self.ids(*parts), [self.prepare(image) for image in request.images])
        return chat

    def question(self, texts: Sequence[str], new_turn: bool = False) -> list[int]:
        """The rest of the user's turn and the beginning of the answer's; its last token is read before the answer.

        Args:
            texts: joined without a separator.
            new_turn: the user's turn has not begun yet; see :meth:`prefix`.
        """
        return self.ids(*(("\n", *USER) if new_turn else ()), *texts, END, "\n", *ASSISTANT)

    def reply(self, text: str) -> list[int]:
        """An answer with the end of its turn."""
        return [*self.ids(text), self.special.end]

    def chat_of(self, example: Example) -> Chat:
        """The chat of an example; the end token of a supervised answer is supervised too."""
        chat = Chat(self.special, self.limit)
        for piece in pieces(example):
            ids = self.ids(*piece.parts)
            if piece.answer is not None and piece.aside:
                chat.add_aside(ids, self.reply(piece.answer))
                continue
            chat.add(ids, [self.prepare(image) for image in piece.images])
            if piece.answer is not None:
                chat.add(self.reply(piece.answer), supervised=True)
        return chat

    def tokens(self, example: Example) -> int:
        """How many tokens the chat of an example has, each image counted as one."""
        return sum(
            len(self.ids(*piece.parts)) + (0 if piece.answer is None else len(self.reply(piece.answer)))
            for piece in pieces(example)
        )


def _content(content: Sequence[str | Image.Image]) -> Parts:
    """Texts and the markers of images, in order."""
    return tuple(text for part in content for text in ((part,) if isinstance(part, str) else IMAGE))


def pieces(example: Example) -> list[Piece]:
    """The chat of an example.

    The images and texts before a target image are one turn of the user. Every other example is a conversation, in which
    a question with its answer is an aside.
    """
    if has_target(example):
        texts = [part.text for part in example if isinstance(part, Text)]
        images = [part.image for part in example if isinstance(part, InputImage)]
        return [Piece(instruction("\n".join(texts) if texts else None, len(images)), images)]
    found, parts, images, in_turn = [], system(ANSWER), [], False
    for part in example:
        if not in_turn:
            parts, in_turn = (*parts, *USER), True
        match part:
            case InputImage(image):
                parts, images = (*parts, *IMAGE), [*images, image]
            case Text(text, False):
                parts = (*parts, text) if text else parts
            case Text(text, True):
                found.append(Piece((*parts, END, "\n", *ASSISTANT), images, text))
                parts, images, in_turn = ("\n",), [], False
            case QAPair(question, answer):
                found += [Piece(parts, images)] if parts else []
                found.append(Piece((question, END, "\n", *ASSISTANT), [], answer, aside=True))
                parts, images = (), []
    return [*found, Piece(parts, images)] if in_turn and parts else found


def has_target(example: Example) -> bool:
    """Whether an image is to be generated from an example."""
    return any(isinstance(part, TargetImage) for part in example)
