"""What the numbers say about the paper's claims, worked out from the scores and never written by hand.

A proxy *helps* where it is better than the control ``sft``, and a level of proxies helps *more* only where it helps at
all; otherwise the finding is what was seen instead. Claims are about the arms that learned their task; one that did not
is *not tested*. First comes what the control itself did to the base, which decides what a gain over the control is
worth.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sgt.config.study import ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING
from sgt.evaluation.metrics import Metric
from sgt.reporting.comparisons import (
    LESS_HARM,
    PERCEPTION,
    PLACE,
    REASONING,
    administered,
    against_control,
    controls_besides,
    difference,
    difference_of_gains,
    have_intervals,
    headline_metrics,
    helped,
    is_less_harm,
    not_administered,
    proxies_of,
    why_unseen,
    with_both_abilities,
)
from sgt.reporting.points import in_words, value_in_words
from sgt.reporting.released import over_base
from sgt.reporting.scores import Scores
from sgt.reporting.verdicts import Verdict, direction, verdict
from sgt.reporting.wording import arms_in_words, mean_of
from sgt.study.releases import compared_releases, release_of, trains

# Standard errors, of the normal distribution, that half an interval is, and that a detectable difference is.
HALF, DETECTABLE = 1.960, 2.802
LEVELS = "high-level proxies help more than low-level ones"


@dataclass(frozen=True)
class Finding:
    """One claim, and what this study measured.

    Attributes:
        about: ``control``, ``proxies``, ``controls`` (besides sft), ``levels``, ``abilities``, ``base`` or
            ``released``.
        claim: what would be so.
        verdict: whether it is.
        found: what is so instead, or besides, in a sentence.
        numbers: what was measured, with intervals.
    """

    about: str
    claim: str
    verdict: Verdict
    found: str
    numbers: str = ""

    @property
    def of_control_and_seen(self) -> bool:
        """Whether it is what the control did to the base, which comes first."""
        return self.about == "control" and self.verdict.side != "open"


def findings(scores: Scores) -> list[Finding]:
    """Every finding that the study's arms and benchmarks allow, and what they leave untested."""
    found: list[Finding] = []
    for model in scores.study.study.models:
        for part in (_control, _proxies, _other_controls, _levels, _abilities, _base):
            found += part(scores, model)
    found += _released(scores)
    found += _untested(scores)
    # What the control did to the base decides what gains are worth; what could not be tested decides nothing.
    return sorted(found, key=lambda each: (each.verdict == Verdict.NOT_TESTED, not each.of_control_and_seen))


def headline(found: list[Finding]) -> list[str]:
    """The first findings in a few lines: of the control, of the proxies, and of released weights."""
    tested = [each for each in found if each.verdict != Verdict.NOT_TESTED]
    abouts = ("control", "proxies", "released")
    first = [next((each for each in tested if each.about == about), None) for about in abouts]
    chosen = [each for each in first if each] or found[:1]
    return [f"{each.claim}: {each.verdict} ({each.found})" for each in chosen]


def _control(scores: Scores, model: str) -> Iterator[Finding]:
    """What training on the questions alone did to the base."""
    if not {ARM_WITHOUT_TRAINING, ARM_WITHOUT_PROXY} <= set(scores.study.study.arms):
        return
    beats = {
        1: ("base beats the control sft", "the questions alone made the base worse"),
        -1: ("the control sft beats base", "the questions alone made the base better"),
    }
    for benchmark, metric, title in headline_metrics(scores):
        base = scores.over_control(model, ARM_WITHOUT_TRAINING, benchmark, metric)
        better = helped(metric, base)
        same = ("base and the control sft differ", why_unseen(title, base))
        claim, found = beats.get(direction(better), same)
        decided = verdict(-better if direction(better) < 0 else better)
        yield Finding(
            "control", f"{model}: {claim} in {title}", decided, found, f"base less sft: {in_words(metric, base)}"
        )


def _proxies(scores: Scores, model: str) -> Iterator[Finding]:
    """Whether the proxies are above the control."""
    every = proxies_of(scores)
    arms = administered(scores, model, every)
    for arm in scores.study.proxy_arms:
        if not scores.administered(model, arm):
            yield _untreated(scores, model, "proxies", f"{arm} helps", [arm])
    if not arms:
        return
    named = arms_in_words(arms, every)
    for benchmark, metric, title in headline_metrics(scores):
        gain = difference(scores, model, benchmark, metric, arms, [ARM_WITHOUT_PROXY])
        found = against_control(scores, model, benchmark, metric) if have_intervals(gain) else why_unseen(title, gain)
        numbers = [f"{named.mean} less sft: {in_words(metric, gain)}"]
        if len(arms) > 1:
            numbers += [_over_control(scores, model, benchmark, metric, [arm]) for arm in arms]
        claim = f"{named.who} {named.helps} {title}{named.average}"
        if is_less_harm(scores, model, benchmark, metric, arms):
            claim, found = (
                f"{named.who} {named.hurts} {title} less than sft does{named.average}",
                f"{found}; {LESS_HARM}",
            )
        yield Finding("proxies", f"{model}: {claim}", verdict(helped(metric, gain)), found, "; ".join(numbers))


def _other_controls(scores: Scores, model: str) -> Iterator[Finding]:
    """Whether the proxies help more than what another arm without a proxy was trained on."""
    every = proxies_of(scores)
    arms = administered(scores, model, every)
    if not arms:
        return
    named = arms_in_words(arms, every)
    for other in controls_besides(scores):
        for benchmark, metric, title in headline_metrics(scores):
            gain, more = (
                difference(scores, model, benchmark, metric, arms, [than]) for than in (ARM_WITHOUT_PROXY, other)
            )
            place = {1: "above", -1: "below", 0: "not seen to differ from"}[direction(more)]
            found = f"{named.mean} is {place} {other}" if have_intervals(gain, more) else why_unseen(title, gain, more)
            claim = f"{named.who} {named.helps} {title} more than {other}{named.average}"
            if is_less_harm(scores, model, benchmark, metric, arms):
                claim = f"{named.who} {named.hurts} {title} less than sft and {other} do{named.average}"
                found = f"{found}; {LESS_HARM}"
            yield Finding(
                "controls",
                f"{model}: {claim}",
                verdict(helped(metric, gain), helped(metric, more)),
                found,
                f"{named.mean} less sft: {in_words(metric, gain)}; less {other}: {in_words(metric, more)}; "
                f"{_over_control(scores, model, benchmark, metric, [other])}",
            )


def _over_control(scores: Scores, model: str, benchmark: str, metric: Metric, arms: list[str]) -> str:
    """The gain of an arm, or of the mean of some, over the control."""
    gain = difference(scores, model, benchmark, metric, arms, [ARM_WITHOUT_PROXY])
    return f"{mean_of(arms)} less sft: {in_words(metric, gain)}"


def _untreated(scores: Scores, model: str, about: str, claim: str, arms: list[str]) -> Finding:
    """A claim that is not tested, because these arms did not learn their task."""
    found = f"not administered: {not_administered(scores, model, arms)}"
    return Finding(about, f"{model}: {claim}", Verdict.NOT_TESTED, found)


def _levels(scores: Scores, model: str) -> Iterator[Finding]:
    """The paper's order: a high-level proxy helps more than the mean of the low-level ones."""
    levels = [proxies_of(scores, level) for level in ("high", "low")]
    if not all(levels):
        return
    high, low = (administered(scores, model, arms) for arms in levels)
    if not high or not low:
        without = [arm for arms, left in zip(levels, (high, low), strict=True) if not left for arm in arms]
        yield _untreated(scores, model, "levels", LEVELS, without)
        return
    for benchmark, metric, title in headline_metrics(scores):
        if REASONING in metric.abilities:
            continue
        gain, more = (difference(scores, model, benchmark, metric, high, other) for other in ([ARM_WITHOUT_PROXY], low))
        apart = {1: "high level above low level", -1: "high level below low level", 0: "levels not seen to differ"}
        better = (helped(metric, gain), helped(metric, more))
        found = f"{against_control(scores, model, benchmark, metric)}; {apart[direction(more)]}"
        claim = f"high-level proxies help {title} more than low-level ones"
        if is_less_harm(scores, model, benchmark, metric, high):
            claim, found = f"high-level proxies hurt {title} less than low-level ones", f"{found}; {LESS_HARM}"
        yield Finding(
            "levels",
            f"{model}: {claim}",
            verdict(*better),
            found if have_intervals(gain, more) else why_unseen(title, gain, more),
            f"{mean_of(high)} less sft: {in_words(metric, gain)}; less {mean_of(low)}: {in_words(metric, more)}; "
            f"{_over_control(scores, model, benchmark, metric, low)}",
        )


def _abilities(scores: Scores, model: str) -> Iterator[Finding]:
    """The high-level proxy's gain is in perception rather than in reasoning."""
    high = proxies_of(scores, "high")
    arms = administered(scores, model, high)
    for name, metrics in with_both_abilities(scores).items():
        for arm in high:
            if arm not in arms:
                claim = f"{arm} helps perception more than reasoning{_of(scores, name)}"
                yield _untreated(scores, model, "abilities", claim, [arm])
        for arm in arms:
            gain, other = (difference(scores, model, name, metric, [arm], [ARM_WITHOUT_PROXY]) for metric in metrics)
            more = difference_of_gains(scores, model, name, metrics, arm)
            found = f"in perception {arm} is {PLACE[direction(gain)]}, in reasoning {PLACE[direction(other)]}"
            if not have_intervals(gain, other, more):
                found = why_unseen("perception and reasoning", gain, other, more)
            claim = f"{arm} helps perception more than reasoning"
            if is_less_harm(scores, model, name, metrics[0], [arm]):
                claim = f"{arm} limits what training took from perception more than from reasoning"
                found = f"{found}; in perception {LESS_HARM}"
            yield Finding(
                "abilities",
                f"{model}: {claim}{_of(scores, name)}",
                verdict(helped(metrics[0], gain), more),
                found,
                f"gain over sft in perception {in_words(metrics[0], gain)}, in reasoning "
                f"{in_words(metrics[1], other)}, difference {in_words(metrics[0], more)}",
            )


def _base(scores: Scores, model: str) -> Iterator[Finding]:
    """The base does better than chance in each part of perception."""
    cells = scores.cells
    base = cells[(cells["model"] == model) & (cells["arm"] == ARM_WITHOUT_TRAINING) & cells["chance"].notna()]
    for name in scores.study.benchmarks:
        parts = [m for m in scores.metrics(name) if PERCEPTION in m.abilities and not m.headline and m.higher_is_better]
        by_name = {metric.name: metric for metric in parts}
        rows = base[(base["benchmark"] == name) & base["metric"].isin(list(by_name))]
        if rows.empty:
            continue
        numbers = []
        for row in rows.itertuples():
            metric = by_name[row.metric]
            text = f"{metric.title} {value_in_words(metric, row.value, row.low, row.high)} (chance "
            text += value_in_words(metric, row.chance)
            detectable = value_in_words(metric, (row.high - row.low) / 2 * DETECTABLE / HALF)
            numbers.append(text + (")" if row.low > row.chance else f", detectable: {detectable} above)"))
        not_above = [by_name[row.metric].title for row in rows.itertuples() if not row.low > row.chance]
        below = (rows["high"] < rows["chance"]).any()
        of_one = Verdict.OPPOSITE_SEEN_ONCE if below else Verdict.NOT_SEEN if not_above else Verdict.SEEN_ONCE
        who = (
            "the released weights answer"
            if release_of(scores.study, model, ARM_WITHOUT_TRAINING)
            else "the base answers"
        )
        yield Finding(
            "base",
            f"{model}: {who} every kind of perception above chance{_of(scores, name)}",
            of_one,
            f"not above chance: {', '.join(not_above)}" if not_above else "so the model uses the image",
            ", ".join(numbers),
        )


def _released(scores: Scores) -> Iterator[Finding]:
    """Whether released weights are better than the base that others post-trained them from."""
    for model, base in compared_releases(scores.study):
        for benchmark, metric, title in headline_metrics(scores):
            gain = over_base(scores, model, base, benchmark, metric)
            found = {1: f"above {base}", -1: f"below {base}"}.get(direction(gain), why_unseen(title, gain))
            yield Finding(
                "released",
                f"{model}: the released weights are better than {base} in {title}",
                verdict(helped(metric, gain)),
                found,
                f"{model} less {base}: {in_words(metric, gain)}",
            )


def _untested(scores: Scores) -> Iterator[Finding]:
    """What the study's arms and benchmarks do not allow to be tested; nothing of one that is about released weights."""
    if not trains(scores.study) and compared_releases(scores.study):
        return
    arms = scores.study.study.arms
    missing = [arm for arm in (ARM_WITHOUT_TRAINING, ARM_WITHOUT_PROXY) if arm not in arms]
    if missing:
        reason = f"the study has no arm {' or '.join(missing)}"
        yield Finding("control", "base and the control sft differ", Verdict.NOT_TESTED, reason)
    if not proxies_of(scores):
        yield Finding("proxies", "proxies help", Verdict.NOT_TESTED, "no arm is trained on a proxy")
        return
    levels = [level for level in ("high", "low") if not proxies_of(scores, level)]
    if levels:
        reason = f"no arm is trained on a proxy of {' or '.join(levels)} level"
        yield Finding("levels", LEVELS, Verdict.NOT_TESTED, reason)
    if "high" not in levels and not with_both_abilities(scores):
        reason = "no benchmark measures perception and reasoning apart"
        yield Finding("abilities", "high-level proxies help perception more", Verdict.NOT_TESTED, reason)


def _of(scores: Scores, benchmark: str) -> str:
    return f" ({benchmark})" if len(with_both_abilities(scores)) > 1 else ""
