"""Conversations in the LLaVA layout: turns of ``human`` and ``gpt``, and ``<image>`` where the image belongs."""

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
        try:
            turn["value"].encode()
        except UnicodeEncodeError as error:
            raise SgtError(where, f"turn {place} is no Unicode text ({error.reason})", _REMEDY) from None
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
