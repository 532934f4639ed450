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
from sgt.models.omnigen2.rows import Chat, SeenPatches
from sgt.models.tokenizer import without_special


@dataclass(frozen=True)
class Piece:
    """A stretch of a chat.

    Attributes:
        parts: texts and markers, with those of each image.
        images: in order.
        answer: that follows and is learned, if there is one.
        aside: nothing after it sees it.
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
        see: prepares an image for the vision tower.
    """

    def __init__(self, tokenizer: Tokenizer, limit: int, see: Callable[[Image.Image], SeenPatches]) -> None:
        self.tokenizer, self.limit, self.see = tokenizer, limit, see
        self.special, self._plain = special_tokens(tokenizer), without_special(tokenizer)

    def ids(self, *parts: str) -> list[int]:
        """Token ids of texts and markers, one after another; what lies between two markers is read as one text."""
        found = []
        for are_markers, some in groupby(parts, lambda part: isinstance(part, Marker)):
            if are_markers:
                found += [self.tokenizer.token_to_id(marker) for marker in some]
            else:
                found += self._plain.encode("".join(some), add_special_tokens=False).ids
        return found

    def instruction(self, prompt: str | None, images: Sequence[Image.Image] = ()) -> Chat:
        """The chat whose states an image is made from; see :func:`sgt.models.omnigen2.prompts.instruction`."""
        chat = Chat(self.special, self.limit)
        chat.add(self.ids(*instruction(prompt, len(images))), [self.see(image) for image in images])
        return chat

    def prefix(self, request: Request) -> Chat:
        """The beginning of a chat: the system turn and, if the request ends in an image, the user's turn so far.

        A prefix without images ends with the system turn's end marker: text is tokenised from marker to marker.
        """
        parts: Parts = system(request.system or ANSWER)
        parts = (*parts, *USER, *_content(request.content)) if request.content else parts[:-1]
        chat = Chat(self.special, self.limit)
        chat.add(self.ids(*parts), [self.see(image) for image in request.images])
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
        """The chat of an example; the end of a supervised answer's turn is learned too."""
        chat = Chat(self.special, self.limit)
        for piece in pieces(example):
            asked = self.ids(*piece.parts)
            if piece.answer is not None and piece.aside:
                chat.add_aside(asked, self.reply(piece.answer))
                continue
            chat.add(asked, [self.see(image) for image in piece.images])
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

    What is shown and said before an image that is to be made is one turn of the user. Everything else is a
    conversation, in whose turns an exchange is an aside.
    """
    if makes_image(example):
        said = [part.text for part in example if isinstance(part, Text)]
        images = [part.image for part in example if isinstance(part, InputImage)]
        return [Piece(instruction("\n".join(said) if said else None, len(images)), images)]
    found, parts, images, asking = [], system(ANSWER), [], False
    for part in example:
        if not asking:
            parts, asking = (*parts, *USER), True
        match part:
            case InputImage(image):
                parts, images = (*parts, *IMAGE), [*images, image]
            case Text(said, False):
                parts = (*parts, said) if said else parts
            case Text(said, True):
                found.append(Piece((*parts, END, "\n", *ASSISTANT), images, said))
                parts, images, asking = ("\n",), [], False
            case QAPair(question, answer):
                found += [Piece(parts, images)] if parts else []
                found.append(Piece((question, END, "\n", *ASSISTANT), [], answer, aside=True))
                parts, images = (), []
    return [*found, Piece(parts, images)] if asking and parts else found


def makes_image(example: Example) -> bool:
    """Whether an example is one of making an image."""
    return any(isinstance(part, TargetImage) for part in example)
