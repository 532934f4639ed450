"""What a judge is sent and what comes back, whatever answers: an endpoint, or a model that is loaded.

Every reply is kept in a file of its own, named by the hash of all that decides it, so that none is paid for twice.
"""

import base64
import hashlib
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from sgt.atomic import write_json
from sgt.data.images import encode_png
from sgt.identity import digest
from sgt.json_files import read_json

Outcome = Literal["ok", "refused", "unparsable", "timeout", "error"]


@dataclass(frozen=True)
class Picture:
    """An image as it is sent.

    Attributes:
        data: the file.
        media_type: ``image/png`` or ``image/jpeg``, as the file is.
    """

    data: bytes
    media_type: str

    @property
    def url(self) -> str:
        """The image itself as an address."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"


def png(image: Image.Image) -> Picture:
    """An image without loss."""
    return Picture(encode_png(image), "image/png")


def jpeg(image: Image.Image) -> Picture:
    """An image as a JPEG of Pillow's default quality, as most public scorers send it."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG")
    return Picture(buffer.getvalue(), "image/jpeg")


@dataclass(frozen=True)
class Call:
    """One question to a judge.

    Attributes:
        text: the instruction, before the images.
        pictures: in order.
        max_tokens: of the reply.
        temperature: None leaves it to the endpoint, as some protocols do.
        system: a text before everything else.
        repeat: number of the same question among several.
    """

    text: str
    pictures: Sequence[Picture]
    max_tokens: int
    temperature: float | None = 0.0
    system: str | None = None
    repeat: int = 0

    def content(self) -> dict[str, Any]:
        """Everything that is sent, with the images' hashes in their place, as JSON."""
        return {
            "system": self.system,
            "text": self.text,
            "images": [hashlib.sha256(each.data).hexdigest() for each in self.pictures],
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "repeat": self.repeat,
        }


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        outcome: ``ok``, or why there is no text.
        text: of the reply; of a failure what is known about it.
        model: as the server names what answered; None if it does not.
        kept: name of the file in which the raw reply is; None if nothing was kept.
    """

    outcome: Outcome
    text: str
    model: str | None = None
    kept: str | None = None


class Kept:
    """Raw replies on disk, by the hash of all that decides them.

    Args:
        folder: of all of them.
        judge: what decides a judge's replies besides what it is sent.
    """

    def __init__(self, folder: Path, judge: dict[str, Any]) -> None:
        self.folder, self.judge = folder, judge

    def name(self, call: Call) -> str:
        """The hash of a call."""
        return digest({"call": call.content(), "judge": self.judge})

    def get(self, call: Call) -> dict[str, Any] | None:
        """The raw reply to a call; None if there is none yet.

        Raises:
            SgtError: its file is damaged.
        """
        try:
            return read_json(self._path(self.name(call)), "delete it to put the question again")["reply"]
        except FileNotFoundError:
            return None

    def put(self, call: Call, reply: dict[str, Any]) -> None:
        """Keep a raw reply."""
        path = self._path(self.name(call))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"call": call.content(), "judge": self.judge, "reply": reply})

    def drop(self, call: Call) -> None:
        """Forget the raw reply to a call, if there is one: it is put again."""
        self._path(self.name(call)).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}.json"


class Backend(ABC):
    """What answers.

    Attributes:
        kept: its raw replies.
    """

    kept: Kept

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides its replies besides what it is sent, as JSON."""

    @abstractmethod
    def ask(self, calls: Sequence[Call]) -> list[Answer]:
        """The answers, in order; those that are kept cost nothing.

        Raises:
            SgtError: no call can succeed, such as without a valid key.
        """


def braced(text: str) -> Any:
    """The JSON value between the first opening and the last closing brace of a text; None if there is none."""
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        return None
    try:
        return json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        return None
