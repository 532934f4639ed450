"""What a study could see, before it is run: the smallest difference between two arms by benchmark."""

from math import sqrt

from sgt.config.benchmarks import Benchmark, FetchedBenchmark, ImageBenchmark
from sgt.config.printed import printed_pair
from sgt.study.loaded import LoadedStudy

# The share of rows of which two arms answer one right and the other wrong: a tenth, as of neighbouring checkpoints.
DISCORDANCE = 0.1
LEVEL, POWER = 0.95, 0.8


def smallest_difference(rows: int, seeds: int, discordance: float = DISCORDANCE) -> float:
    """The smallest true difference of accuracies that a paired comparison sees four times in five.

    With one seed the interval is over rows alone. With several it covers seeds too, which are few, so Student's
    quantiles take the place of the normal ones: three seeds see less than one seems to.

    Args:
        rows: independent of each other; of rows about the same images fewer are.
        seeds: of training, of each arm.
        discordance: share of rows that one arm answers right and the other wrong.
    """
    from scipy.special import ndtri, stdtrit  # imported where it is used: every start of Snakemake loads this module

    error = sqrt(discordance / (rows * seeds))
    if seeds == 1:
        return float((ndtri(0.5 + LEVEL / 2) + ndtri(POWER)) * error)
    return float((stdtrit(seeds - 1, 0.5 + LEVEL / 2) + stdtrit(seeds - 1, POWER)) * error)


def power_lines(study: LoadedStudy) -> list[str]:
    """A line per benchmark that is answered in words: what the study could see, and what the paper says there is."""
    seeds, lines = len(study.study.seeds), []
    for name, benchmark in study.benchmarks.items():
        if isinstance(benchmark, ImageBenchmark):
            continue
        rows = _rows(study, benchmark)
        least = 100 * smallest_difference(rows, seeds)
        line = f"{name}: sees differences from {least:.1f} points, with {rows} rows"
        if printed := printed_pair(benchmark):
            before, after = printed
            line += f"; the paper prints {before:.2f} and {after:.2f} of BAGEL, {after - before:+.2f}"
        lines.append(line)
    if lines:
        over = "rows of one seed" if seeds == 1 else f"rows and {seeds} seeds"
        lines.append(f"(80% power, 95% interval over {over}; of {DISCORDANCE:.0%} of rows one arm is right alone)")
    return lines


def _rows(study: LoadedStudy, benchmark: Benchmark) -> int:
    """About how many rows it has; of a limited one, at least as many."""
    if isinstance(benchmark, FetchedBenchmark):
        return min(benchmark.published_rows, benchmark.samples or benchmark.published_rows)
    dataset = study.study.datasets[str(benchmark.dataset)]
    return (benchmark.samples or dataset.count) * dataset.text.turns
