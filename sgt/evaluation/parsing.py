"""Reading an answer out of a reply: each public harness's rules, and our own, which says how it found what it found.

The rules of others are restated from their published behaviour, faults included, because their numbers are to be
compared with: each function says what it takes for an answer that a reader would not. ``None`` means that no answer was
found. Letters are upper case; yes and no are ``yes`` and ``no``.
"""

import re
import string
from collections.abc import Sequence

from sgt.evaluation.task import Parsed, Status

YES_NO = ("yes", "no")
LETTERS = string.ascii_uppercase
# What introduces the answer itself; what follows the last of them is looked at first.
_CUE = re.compile(
    r"(?:final answer|correct answer|right answer|answer|correct option|correct choice|option|choice)"
    r"\s*(?:is|:|=)+\s*|\\boxed\{",
    re.IGNORECASE,
)
_LONE_LETTER = re.compile(r"(?<![\w'])\(?([A-Z])\)?(?=[\s.,:;)*]|$)")
# Of a longer text, which is prose, "a" and "I" are words.
_WORDS = {"A", "I"}
# After a cue, before a word: an article, if an option is named as well ("the answer is a cat").
_ARTICLE = re.compile(r"[\s*_\"'(\[]*[ai][ \t]+\w")


def found(value: str | None, status: Status = "direct") -> Parsed:
    """A value that was found in this way, or none."""
    return Parsed(None, "none") if value is None else Parsed(value, status)


def letter(reply: str, options: Sequence[str]) -> Parsed:
    """The letter of an option: the reply itself, what follows a cue, a letter that stands alone, or an option's text.

    Two letters that could both be meant are ambiguous, and no answer.
    """
    letters = LETTERS[: len(options)]
    text = reply.strip()
    bare = text.strip(string.punctuation + string.whitespace)
    if len(bare) == 1 and bare.upper() in letters:
        return found(bare.upper())
    if exact := _options_equal_to(bare, options):
        return found(exact[0]) if len(exact) == 1 else Parsed(None, "ambiguous")
    if begins := re.match(rf"\(?([{letters}])(?:[.):]|\)\.?)(?:\s|$)", text):
        others = {each for each in _lone(text[begins.end() :], letters) if each not in _WORDS} - {begins[1]}
        return Parsed(None, "ambiguous") if others else found(begins[1])
    *_, last = [None, *_CUE.finditer(text)]
    if last is not None:
        after = text[last.end() :]
        named = _options_in(after.splitlines()[0] if after else "", options)
        is_article = named and _ARTICLE.match(after)
        match = re.match(rf"[\s*_\"'(\[]*([{letters}{letters.lower()}])(?![\w'])", after)
        if match and not is_article:
            return found(match[1].upper(), "cue")
        if named:
            return found(named[0], "cue") if len(named) == 1 else Parsed(None, "ambiguous")
    named = _options_in(text, options)
    is_prose = len(text.split()) > 3 or bool(named)
    lone = {each for each in _lone(text, letters) if each not in _WORDS or not is_prose}
    if lone:
        return found(lone.pop(), "text") if len(lone) == 1 else Parsed(None, "ambiguous")
    if named:
        return found(named[0], "text") if len(named) == 1 else Parsed(None, "ambiguous")
    return Parsed(None, "none")


# What lmms-eval takes for the beginning of an answer. It looks after the first occurrence of each, so that of phrases
# that contain another, both count.
_LMMS_CUES = (
    "answer is", "the answer is", "correct answer is", "the correct answer is", "best answer is", "the best answer is",
    "correct option is", "the correct option is", "best option is", "the best option is",
    "choice is", "the choice is", "correct choice is", "the correct choice is",
    "my answer is", "my choice is", "i choose", "i select", "i pick",
    "옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは",
)  # fmt: skip
# How a letter may be written, the surest first.
_LMMS_FORMS = (("({})", 6), ("{}.", 5), ("{}:", 4), ("{})", 3), ("{} ", 2))
_LMMS_START, _LMMS_END, _LMMS_CUE = 10, 9, 7


def lmms_letter(reply: str, count: int) -> Parsed:
    """As lmms-eval reads multiple choice up to August 2026: of all letters in any form, the surest, then the last.

    The first word "A" is an answer, and so is a capital letter in any word after a cue: "The answer is B since A is
    wrong" is A. Later versions leave such replies without an answer.

    Args:
        reply: as it is.
        count: of the options, which are lettered from A.
    """
    letters = LETTERS[:count]
    text = reply.strip()
    # One after another, each once.
    for mark in ",.!?;:'\"":
        text = text.strip(mark)
    text = f" {text} "
    bare, folded = text.strip(), text.lower()
    candidates = [
        (sure, text.rfind(form.format(each)), each)
        for form, sure in _LMMS_FORMS
        for each in letters
        if form.format(each) in text
    ]
    for cue in _LMMS_CUES:
        if cue in folded:
            after = folded.index(cue) + len(cue)
            candidates += [(_LMMS_CUE, text.index(each, after), each) for each in letters if each in text[after:]]
    if bare[:1] and bare[0] in letters and not bare[1:2].isalpha():
        candidates.append((_LMMS_START, 0, bare[0]))
    if bare[:1] and bare[-1] in letters and not bare[-2:-1].isalpha():
        candidates.append((_LMMS_END, len(text), bare[-1]))
    if not candidates:
        candidates = [(0, text.rfind(each), each) for each in letters if each in text]
    if not candidates:
        return Parsed(None, "none")
    sure, _, value = max(candidates)
    return Parsed(value, "direct" if bare == value else "cue" if sure == _LMMS_CUE else "text")


def bagel_letter(reply: str, options: Sequence[str]) -> Parsed:
    """As BAGEL's official evaluation reads multiple choice: a first character that is a letter of an option.

    "Black" is B, whatever the options. Else it is the first option whose text stands in the reply as it is written.
    A single lower-case letter is no answer, and neither is "(A)".
    """
    text = reply.strip()
    letters = LETTERS[: len(options)]
    if text[:1] and text[0] in letters:
        return found(text[0], "text" if text[1:].strip(string.punctuation) else "direct")
    if len(text) < 2:
        return Parsed(None, "none")
    named = [letters[place] for place, option in enumerate(options) if option and option in text]
    return found(named[0] if named else None, "text")


def cambrian(reply: str) -> Parsed:
    """What Cambrian's scripts take for the answer: in lower case, after a cue, without brackets and a full stop.

    The colon of "the answer is: a" stays, so that no letter is found. The value is always a text, which may be empty.
    """
    text = reply.lower().strip()
    after = text.split("answer is")[-1].split("answer:")[-1]
    value = after.strip().rstrip(".:,").lstrip("(").rstrip(")")
    return Parsed(value, "direct" if after == text else "cue")


_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
# A letter further from the end of a reply is taken for a word.
_LAST_TOKENS = 4


def vlmevalkit_letter(reply: str, options: Sequence[str]) -> Parsed:
    """As VLMEvalKit reads multiple choice before it asks a judge, or with exact matching: else there is no answer.

    The only option letter among the words, if it occurs in the last four and not before; else what follows "answer is",
    even as part of a word ("the answer is above" is A); else the only option whose text stands in a reply that is not
    long.
    """
    if any(refusal in reply for refusal in _REFUSALS):
        return Parsed(None, "none")
    letters = LETTERS[: len(options)]
    words = reply.translate(str.maketrans(".()[],:;!*#{}", " " * 13)).split()
    said = [each for each in letters if each in words]
    if len(said) == 1 and words.index(said[0]) >= len(words) - _LAST_TOKENS:
        return found(said[0], "direct" if len(words) == 1 else "text")
    if match := re.search(r"answer is\s*:?\s*\**\(?([A-D])", reply, re.IGNORECASE):
        return found(match[1].upper() if match[1].upper() in letters else None, "cue")
    if len(reply) > 2 * sum(map(len, options)):
        return Parsed(None, "none")
    named = [letters[place] for place, option in enumerate(options) if option.lower() in reply.lower()]
    return found(named[0], "text") if len(named) == 1 else Parsed(None, "ambiguous" if named else "none")


def yes_no(reply: str) -> Parsed:
    """``yes`` or ``no``: the first word, or the only one of the two that stands in the reply."""
    return _first_or_only(re.findall(r"[a-z]+", reply.lower()))


# What is negated, and so means the other.
_NEGATED = re.compile(r"\b(?:not|isn't|isn’t|un) ?(true|false)\b")
_OF_TRUTH = {"true": "yes", "false": "no"}
_OPPOSITE = {"true": "no", "false": "yes"}


def true_false(reply: str) -> Parsed:
    """``yes`` for true and ``no`` for false: the first word, or the only one of the two; "not true" is false."""
    positive = _NEGATED.sub(lambda match: _OPPOSITE[match[1]], reply.lower())
    return _first_or_only([_OF_TRUTH.get(word, word) for word in re.findall(r"[a-z]+", positive)])


def _first_or_only(words: Sequence[str]) -> Parsed:
    """The first word, if it is yes or no; else the only one of the two among them."""
    if words and words[0] in YES_NO:
        return found(words[0], "direct" if len(words) == 1 else "text")
    said = set(words) & set(YES_NO)
    if not said:
        return Parsed(None, "none")
    return found(said.pop(), "text") if len(said) == 1 else Parsed(None, "ambiguous")


def pope_official(reply: str) -> Parsed:
    """POPE's own rule: of the text before the first full stop, without commas, the words No, no and not mean no.

    Everything else means yes: "Nope", an empty reply, and "I cannot tell". "Yes, there is no doubt" means no.
    """
    words = reply.split(".")[0].replace(",", "").split(" ")
    value = "no" if {"No", "no", "not"} & set(words) else "yes"
    return Parsed(value, "direct" if reply.strip(" .,").lower() in YES_NO else "text")


def exact_yes_no(reply: str) -> Parsed:
    """As lmms-eval reads POPE: the reply, stripped and in lower case, is yes or no. "Yes." is neither."""
    said = reply.strip().lower()
    return found(said if said in YES_NO else None)


_VLMEVALKIT_SIGNS = r""";/[]"{}()=+\_-><@`,?!&%$#^"""


def vlmevalkit_yes_no(reply: str) -> Parsed:
    """As VLMEvalKit reads yes and no before it asks a judge: the only one of the two among the words.

    Words are divided by blanks after common punctuation is removed, or made a blank where no such sign stands beside
    one: "No,it is" says no. Asterisks, colons and other signs stay, so that "**Yes**" is neither.
    """
    text = reply.lower()
    kept, has_thousands = text.replace(".", ""), re.search(r"\d,\d", text)
    for sign in _VLMEVALKIT_SIGNS:
        removed = has_thousands or f"{sign} " in text or f" {sign}" in text
        kept = kept.replace(sign, "" if removed else " ")
    said = set(kept.split()) & set(YES_NO)
    if not said:
        return Parsed(None, "none")
    if len(said) == 2:
        return Parsed(None, "ambiguous")
    return found(said.pop(), "direct" if len(kept.split()) == 1 else "text")


_NUMBER = re.compile(r"(?<![\w.])[-−]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?![\d])")


def number(reply: str) -> Parsed:
    """A number, as a float: the reply itself, the first after the last cue, or the only one in the reply.

    A unit may follow ("about 3 m"). Two numbers of which either could be meant are ambiguous, and no answer.
    """
    text = reply.strip()
    numbers = [_as_float(each) for each in _NUMBER.findall(text)]
    *_, last = [None, *_CUE.finditer(text)]
    if last is not None and (after := _NUMBER.search(text[last.end() :])):
        return Parsed(_as_float(after[0]), "cue")
    if len(set(numbers)) == 1:
        return Parsed(numbers[0], "direct" if _NUMBER.fullmatch(text.rstrip(".")) else "text")
    return Parsed(None, "ambiguous" if numbers else "none")


def _as_float(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))


def _lone(text: str, letters: str) -> list[str]:
    return [match for match in _LONE_LETTER.findall(text) if match in letters]


def _options_equal_to(text: str, options: Sequence[str]) -> list[str]:
    folded = text.casefold()
    same = [option.strip(string.punctuation + string.whitespace).casefold() == folded for option in options]
    return [LETTERS[place] for place, equal in enumerate(same) if equal and folded]


def _options_in(text: str, options: Sequence[str]) -> list[str]:
    """Letters of the options whose text stands in a text, without those that are part of a longer one that does."""
    folded = text.casefold()
    inside = {
        place: option.casefold()
        for place, option in enumerate(options)
        if option and re.search(rf"(?<!\w){re.escape(option.casefold())}(?!\w)", folded)
    }
    longest = [place for place, each in inside.items() if not any(each != o and each in o for o in inside.values())]
    return [LETTERS[place] for place in longest]
