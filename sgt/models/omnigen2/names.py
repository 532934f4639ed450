"""Chats whose tokens have names, for capturing: which text or image of the request each token comes from."""

from collections.abc import Sequence
from itertools import groupby

from PIL import Image

from sgt.models.interface import Request
from sgt.models.keywords import KeywordFinder, character_kinds
from sgt.models.omnigen2.chats import ChatBuilder
from sgt.models.omnigen2.prompts import (
    ANSWER,
    ASSISTANT,
    END,
    IMAGE,
    MAKE,
    MAKE_WITHOUT_PROMPT,
    USER,
    Marker,
    system,
)
from sgt.models.omnigen2.rows import Chat
from sgt.models.tokenizer import token_id

# Texts and markers of a chat, each with the name of its tokens.
NamedParts = list[tuple[str, str]]
TEMPLATE, FRAME = "template", "template.frame"


def answering(request: Request) -> NamedParts:
    """The chat before an answer: :meth:`ChatBuilder.prefix` and :meth:`ChatBuilder.question` together."""
    turn = system(request.system or ANSWER)
    names = (TEMPLATE, TEMPLATE, "system" if request.system else TEMPLATE, TEMPLATE, TEMPLATE)
    before = [*zip(turn, names, strict=True), *_template(USER)]
    return [*before, *_named(request.content), *_template((END, "\n", *ASSISTANT))]


def generating(request: Request) -> NamedParts:
    """The chat that an image is generated from: :meth:`ChatBuilder.instruction`, whose texts are joined by newlines."""
    texts = [part for part in request.content if isinstance(part, str)]
    found = _template((*system(MAKE if texts else MAKE_WITHOUT_PROMPT), *USER))
    for text, name in _named([*request.images, *texts]):
        if name.startswith("text.") and name != "text.0":
            found += _template(("\n",))
        found.append((text, name))
    return [*found, *_template((END, "\n"))]


def named_chat(
    chats: ChatBuilder, parts: NamedParts, images: Sequence[Image.Image], find: KeywordFinder | None = None
) -> tuple[Chat, list[str]]:
    """A chat, and the name of each of its tokens: that of the part in which the token begins, and its keyword's kind.

    Args:
        chats: tokenises, and prepares images.
        parts: of the chat.
        images: of the request.
        find: finds keywords in the request's texts; see :func:`sgt.models.keywords.token_names`.
    """
    ids: list[int] = []
    names: list[str] = []
    for are_markers, group in groupby(parts, lambda part: isinstance(part[0], Marker)):
        some = list(group)
        if are_markers:
            ids += [token_id(chats.tokenizer, marker) for marker, _ in some]
            names += [name for _, name in some]
            continue
        encoded = chats.plain.encode("".join(text for text, _ in some), add_special_tokens=False)
        name_of_character = [name for text, name in some for _ in text]
        ids += encoded.ids
        kinds = [
            kind for text, name in some for kind in character_kinds(text, find if name.startswith("text.") else None)
        ]
        for start, end in encoded.offsets:
            kind = kinds[max(end - 1, start)]
            names.append(f"{name_of_character[start]}.{kind}" if kind else name_of_character[start])
    chat, patches = Chat(chats.special, chats.limit), [chats.prepare(image) for image in images]
    chat.add(ids, patches)
    tokens = iter(image.tokens[0] * image.tokens[1] for image in patches)
    repeats = [next(tokens) if token == chats.special.image else 1 for token in ids]
    return chat, [name for name, count in zip(names, repeats, strict=True) for _ in range(count)]


def _template(parts: Sequence[str]) -> NamedParts:
    return [(part, TEMPLATE) for part in parts]


def _named(content: Sequence[str | Image.Image]) -> NamedParts:
    """Texts and the markers of images, in order, each kind numbered from 0."""
    found, texts, images = [], 0, 0
    for part in content:
        if isinstance(part, str):
            found.append((part, f"text.{texts}"))
            texts += 1
        else:
            found += zip(IMAGE, (FRAME, f"image.{images}", FRAME), strict=True)
            images += 1
    return found
