"""The health of the vision tower during training."""

from collections.abc import Sequence

from PIL import Image

from sgt.models.tower import TowerHealth, VisionTower, measure_tower
from sgt.training.batch_loader import StepBatch
from sgt.training.callbacks.callback import Callback


class TowerMonitor(Callback):
    """Adds the health of a vision tower to the metrics: at regular intervals, and after the last step.

    Args:
        tower: of the model that is trained.
        images: the same every time.
        every: steps between measurements; 0 measures only after the last step.
    """

    def __init__(self, tower: VisionTower, images: Sequence[Image.Image], every: int) -> None:
        self._tower, self._images, self._every = tower, images, every

    def post_train_batch(self, batch: StepBatch) -> None:
        """See :class:`Callback`."""
        if self.trainer.is_due(self._every):
            self.trainer.metrics |= self.measure().metrics()

    def measure(self) -> TowerHealth:
        """The health now; the network is in training mode afterwards only if it was before."""
        network = self.trainer.model.network
        training = network.training
        network.eval()
        health = measure_tower(self._tower, self._images)
        network.train(training)
        return health
