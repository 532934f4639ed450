"""The steps of the command, in order, each with its time limit."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        seconds: its process may take, start and compilation included.
        module, function: that yield rows as they are measured; imported by the step's own process alone.
    """

    seconds: int
    module: str
    function: str


# The limits are beyond what each is expected to take, and their sum beyond the command's own: what is cut off then is
# the last, which is the least.
STEPS = {
    "numerics": Step(90, "perf.gpu.numerics", "numerics"),
    "train-short": Step(100, "perf.gpu.training", "train_short"),
    "train-long": Step(100, "perf.gpu.training", "train_long"),
    "train-lora": Step(75, "perf.gpu.training", "train_lora"),
    "train-omnigen2": Step(75, "perf.gpu.training", "train_omnigen2"),
    "official": Step(90, "perf.gpu.official", "official"),
    "profile": Step(75, "perf.gpu.kernels", "profile_step"),
    "inference": Step(60, "perf.gpu.inference", "inference"),
    "loader": Step(30, "perf.gpu.loading", "loading"),
    "train-compiled": Step(90, "perf.gpu.training", "train_compiled"),
}
