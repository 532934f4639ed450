"""What records say: conversations in the LLaVA layout (turns of ``human`` and ``gpt``, ``<image>`` where the image
belongs), questions with their answers, captions."""

from sgt.errors import SgtError

IMAGE_MARK = "<image>"
SPEAKERS = ("human", "gpt")
_REMEDY = "leave this sample out"


def check_conversation(turns: object, has_image: bool, where: str) -> list[dict[str, str]]:
    """The turns of a conversation, each ``from`` and ``value`` alone.

    Raises:
        SgtError: it has no turns, one is from nobody, has no text or answers nothing, or ``<image>`` is there without
            an image or twice.
    """
    if not isinstance(turns, list) or not turns:
        raise SgtError(where, "no conversation", _REMEDY)
    marks = 0
    for place, turn in enumerate(turns):
        if not isinstance(turn, dict) or turn.get("from") not in SPEAKERS or not isinstance(turn.get("value"), str):
            speaker = turn.get("from") if isinstance(turn, dict) else turn
            raise SgtError(where, f"turn {place} is from {speaker!r}, or has no text", "use human or gpt")
        check_text(turn["value"], f"turn {place}", where)
        if turn["from"] == "human":
            marks += turn["value"].count(IMAGE_MARK)
        elif not turn["value"].strip():
            raise SgtError(where, f"turn {place} is an empty answer", _REMEDY)
    if not any(turn["from"] == "gpt" for turn in turns):
        raise SgtError(where, "nothing is answered", _REMEDY)
    if marks > int(has_image):
        have = "one image" if has_image else "no image"
        raise SgtError(where, f"{marks} times {IMAGE_MARK} for {have}", _REMEDY)
    return [{"from": turn["from"], "value": turn["value"]} for turn in turns]


def check_questions(questions: object, where: str) -> list[tuple[str, str]]:
    """Each ``question`` with its ``answer``.

    Raises:
        SgtError: there is no list of them, or one lacks a text.
    """
    if not isinstance(questions, list):
        raise SgtError(where, "no list of questions", _REMEDY)
    for place, asked in enumerate(questions):
        if not isinstance(asked, dict):
            raise SgtError(where, f"questions[{place}] is no object", _REMEDY)
        for field in ("question", "answer"):
            check_text(asked.get(field), f"questions[{place}].{field}", where)
    return [(asked["question"], asked["answer"]) for asked in questions]


def check_text(text: object, what: str, where: str) -> str:
    """A text that a tokenizer can read.

    Raises:
        SgtError: it is no text, or has a lone surrogate in it, which is half a character.
    """
    if not isinstance(text, str):
        raise SgtError(where, f"{what} is {type(text).__name__}, not a text", _REMEDY)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        problem = f"{what} has half a character in it ({text[error.start]!r}, a lone surrogate)"
        raise SgtError(where, problem, _REMEDY) from None
    return text
