"""What happens beside the training step: one callback for each concern, called by the trainer at fixed points."""

from typing import TYPE_CHECKING

from sgt.training.batch_loader import StepBatch

if TYPE_CHECKING:
    from sgt.training.trainer import Trainer

Metrics = dict[str, float]


class Callback:
    """Base class of callbacks: a subclass overrides the hooks that it needs.

    Hooks run in the order in which the trainer holds its callbacks. A callback that communicates with other processes
    must be present in all of them.

    Attributes:
        trainer: the trainer that calls it; set before the first hook.
    """

    trainer: "Trainer"

    def pre_train(self) -> None:
        """Before the first step. Checkpointing restores the state here, and with it ``trainer.step``."""

    def pre_load_batch(self) -> None:
        """Before the trainer waits for the data of a step."""

    def pre_step(self, batch: StepBatch) -> None:
        """After the data of a step is loaded, before anything is computed."""

    def dry_run(self) -> None:
        """Once, before the first step: compute what needs most memory, so that a lack of it is noticed now."""

    def post_train_batch(self, batch: StepBatch) -> None:
        """After the optimizer step; what it adds to ``trainer.metrics`` is logged with the step."""

    def log_metrics(self, step: int, metrics: Metrics) -> None:
        """All metrics of a step, which is counted from 0."""

    def post_step(self) -> None:
        """After the metrics of a step are logged, so that no checkpoint is ahead of them."""

    def close(self) -> None:
        """However training ends, if ``pre_train`` succeeded."""
