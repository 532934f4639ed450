"""Resuming from the newest checkpoint, and saving new ones."""

from sgt.training.callbacks.callback import Callback
from sgt.training.checkpoints import Checkpoints


class Checkpointing(Callback):
    """Saves at regular intervals, after the last step, and when a signal has asked training to stop.

    Args:
        fingerprint: of data and configuration; checkpoints with another one are set aside.
        save_every: steps between checkpoints.
        keep_last: how many of the newest checkpoints are kept.
    """

    def __init__(self, fingerprint: str, save_every: int, keep_last: int) -> None:
        self._fingerprint, self._save_every, self._keep_last = fingerprint, save_every, keep_last

    def pre_train(self) -> None:
        """See :class:`Callback`."""
        trainer = self.trainer
        self._checkpoints = Checkpoints(trainer.work, self._fingerprint, self._keep_last, trainer.context)
        trainer.step = self._checkpoints.load(trainer.parameters, trainer.optimizer, trainer.average)

    def post_step(self) -> None:
        """See :class:`Callback`.

        Raises:
            SgtError: the checkpoint cannot be written.
        """
        trainer = self.trainer
        if trainer.stopping or trainer.is_finished or trainer.step % self._save_every == 0:
            self._checkpoints.save(trainer.step, trainer.parameters, trainer.optimizer, trainer.average)
