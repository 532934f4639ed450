"""Validation of the texts in records: conversations in the LLaVA layout (turns of ``human`` and ``gpt``, ``<image>``
where the image belongs), questions with their answers, captions."""

from sgt.errors import SgtError

IMAGE_MARK = "<image>"
SPEAKERS = ("human", "gpt")
_REMEDY = "leave this sample out"


def check_conversation(turns: object, has_image: bool, where: str) -> list[dict[str, str]]:
    """The turns of a conversation, with their fields ``from`` and ``value`` only.

    Raises:
        SgtError: there are no turns or no answers, a turn has no valid speaker or text, an answer is empty, or
            ``<image>`` occurs more often than there are images.
    """
    if not isinstance(turns, list) or not turns:
        raise SgtError(where, "no conversation", _REMEDY)
    count = 0
    for place, turn in enumerate(turns):
        if not isinstance(turn, dict) or turn.get("from") not in SPEAKERS or not isinstance(turn.get("value"), str):
            speaker = turn.get("from") if isinstance(turn, dict) else turn
            raise SgtError(where, f"turn {place} is from {speaker!r}, or has no text", "use human or gpt")
        check_text(turn["value"], f"turn {place}", where)
        if turn["from"] == "human":
            count += turn["value"].count(IMAGE_MARK)
        elif not turn["value"].strip():
            raise SgtError(where, f"turn {place} is an empty answer", _REMEDY)
    if not any(turn["from"] == "gpt" for turn in turns):
        raise SgtError(where, "nothing is answered", _REMEDY)
    if count > int(has_image):
        images = "one image" if has_image else "no image"
        raise SgtError(where, f"{count} times {IMAGE_MARK} for {images}", _REMEDY)
    return [{"from": turn["from"], "value": turn["value"]} for turn in turns]


def check_questions(questions: object, where: str) -> list[tuple[str, str]]:
    """The pairs of ``question`` and ``answer``.

    Raises:
        SgtError: ``questions`` is not a list of objects with both texts.
    """
    if not isinstance(questions, list):
        raise SgtError(where, "no list of questions", _REMEDY)
    for place, item in enumerate(questions):
        if not isinstance(item, dict):
            raise SgtError(where, f"questions[{place}] is no object", _REMEDY)
        for field in ("question", "answer"):
            check_text(item.get(field), f"questions[{place}].{field}", where)
    return [(item["question"], item["answer"]) for item in questions]


def check_text(text: object, what: str, where: str) -> str:
    """``text``, if a tokenizer can read it.

    Raises:
        SgtError: it is not a string, or has a lone surrogate in it, which is half a character.
    """
    if not isinstance(text, str):
        raise SgtError(where, f"{what} is {type(text).__name__}, not a text", _REMEDY)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        problem = f"{what} has half a character in it ({text[error.start]!r}, a lone surrogate)"
        raise SgtError(where, problem, _REMEDY) from None
    return text
