"""How findings name the arms that they are about."""

from typing import NamedTuple


class ArmsInWords(NamedTuple):
    """How claims name the arms that they are about, what these do, and how their values are summed up."""

    who: str
    helps: str
    hurts: str
    mean: str
    average: str


def arms_in_words(arms: list[str], every: list[str]) -> ArmsInWords:
    """Some of the proxy arms, of which ``every`` has all."""
    if len(arms) == 1:
        return ArmsInWords(arms[0], "helps", "hurts", arms[0], "")
    which = "the proxies" if len(arms) == len(every) else "the administered proxies"
    return ArmsInWords(which, "help", "hurt", f"mean of {which}", " on average")


def mean_of(arms: list[str]) -> str:
    """An arm, or the mean of several."""
    return arms[0] if len(arms) == 1 else f"the mean of {', '.join(arms)}"


def readable(title: str) -> str:
    """A metric's title as text: ``generation/score`` is ``generation score``."""
    return title.replace("/", " ").replace("_", " ")
