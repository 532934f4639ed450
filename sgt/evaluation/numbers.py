"""Reading a number or a list of numbers out of a reply, and where in a reply the answer stands."""

import re

# What introduces the answer; the last of them counts.
_CUE = re.compile(r"(?:final answer(?:\s+is)?|answer is|answer(?=\W*:))[\s:*=]*|\\boxed\s*\{", re.IGNORECASE)
_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_UNSIGNED = r"(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)"
# Neither part of a word, nor an index or exponent (cm^2).
_ALONE = r"(?<![\w.^])(?<!\^-)(?<!\^\{)(?<!\^\{-)(?<!_\{)"
_NUMBER = re.compile(
    rf"{_ALONE}(?P<value>[-+]?{_UNSIGNED})"
    rf"(?:[eE](?P<e>[-+]?\d+)|\s*(?:×|\\times|\\cdot|\*|x)\s*10\s*\^\s*\{{?\s*(?P<power>[-+]?\d+)\s*\}}?"
    rf"|\s*/\s*(?P<below>{_UNSIGNED}))?"
)
_LIST = re.compile(r"\[([^\[\]]*)\]")


def answer_part(reply: str) -> tuple[str, bool]:
    """The part of a reply in which the answer stands, and whether a cue introduces it.

    That is what ``\\boxed`` holds, or the rest of the line after "final answer", "answer is" or "answer:", whichever
    comes last; without any of them the whole reply.
    """
    cue = _last(_CUE, reply)
    if cue is None:
        return _WRAPPED.sub(r"\1", reply).strip(), False
    after = reply[cue.end() :]
    part = _in_braces(after) if cue[0].endswith("{") else next(iter(after.splitlines()), "")
    return _WRAPPED.sub(r"\1", part).strip(), True


def _in_braces(text: str) -> str:
    """A text up to the brace that closes the one before it; all of it if there is none."""
    depth = 1
    for place, sign in enumerate(text):
        depth += (sign == "{") - (sign == "}")
        if depth == 0:
            return text[:place]
    return text


def last_number(text: str) -> tuple[float, bool] | None:
    """The last number of a text, and whether nothing else is said; None if there is none.

    Commas between thousands are dropped, powers of ten and fractions of two numbers are worked out, and what follows
    a number, such as its unit, is ignored. Nothing else is calculated.
    """
    plain = _FRACTION.sub(r"\1/\2", text.replace("−", "-"))
    last = _last(_NUMBER, plain)
    if last is None:
        return None
    value = float(f"{last['value'].replace(',', '')}e{last['e'] or last['power'] or 0}")
    if last["below"]:
        below = float(last["below"].replace(",", ""))
        if below == 0:
            return None
        value /= below
    rest = plain[: last.start()] + plain[last.end() :]
    return value, not any(sign.isalnum() for sign in rest)


def last_list(text: str) -> list[float] | None:
    """The last list of numbers in brackets; None if there is none, or something else stands in it."""
    last = _last(_LIST, text)
    if last is None:
        return None
    numbers = [last_number(item) for item in last[1].split(",")]
    return [each[0] for each in numbers if each is not None] if all(each and each[1] for each in numbers) else None


def _last(pattern: re.Pattern, text: str) -> re.Match | None:
    found = list(pattern.finditer(text))
    return found[-1] if found else None
