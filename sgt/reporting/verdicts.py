"""How far an interval decides a claim, in words."""

from enum import StrEnum

import numpy as np

from sgt.evaluation.statistics import Difference


class Verdict(StrEnum):
    """What a study shows about a claim. One training seed never decides: another one may show something else."""

    NOT_TESTED = "not tested"
    NOT_SEEN = "not seen"
    SEEN_ONCE = "seen with one seed"
    OPPOSITE_SEEN_ONCE = "opposite seen with one seed"
    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"

    @property
    def side(self) -> str:
        """``for`` the claim, ``against`` it, or ``open``."""
        if self in (Verdict.NOT_TESTED, Verdict.NOT_SEEN):
            return "open"
        return "for" if self in (Verdict.SEEN_ONCE, Verdict.SUPPORTED) else "against"


MEANING = {
    Verdict.NOT_TESTED: "the study lacks what the claim is about, or an arm did not learn its task, as stated",
    Verdict.NOT_SEEN: "an interval that decides it contains zero; a difference as large as the one named detectable "
    "would be seen four times in five",
    Verdict.SEEN_ONCE: "the intervals over items show it, but another training seed may show something else",
    Verdict.OPPOSITE_SEEN_ONCE: "an interval over items shows the opposite, but another training seed may not",
    Verdict.SUPPORTED: "the intervals over training seeds and items together show it",
    Verdict.CONTRADICTED: "an interval over training seeds and items together shows the opposite",
}


def direction(estimate: Difference) -> int:
    """1 if the interval is above zero, -1 if it is below, 0 if it contains zero or there is none."""
    return int(estimate.low > 0) - int(estimate.high < 0)


def verdict(*needed: Difference) -> Verdict:
    """Whether every one of these differences is above zero, as the claim needs."""
    if any(np.isnan(estimate.low) for estimate in needed):
        return Verdict.NOT_TESTED
    once = any(estimate.seeds == 1 for estimate in needed)
    match min(direction(estimate) for estimate in needed):
        case 1:
            return Verdict.SEEN_ONCE if once else Verdict.SUPPORTED
        case 0:
            return Verdict.NOT_SEEN
    return Verdict.OPPOSITE_SEEN_ONCE if once else Verdict.CONTRADICTED
