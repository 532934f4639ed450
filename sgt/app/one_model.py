"""One model in memory at a time, whoever asks for it."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import torch

from sgt.app.interactive import InteractiveRun
from sgt.app.open import load_run
from sgt.app.results import StudyResults
from sgt.errors import SgtError
from sgt.models.registry import device_of
from sgt.study.amounts import amount
from sgt.study.record import checkpoint_of


class OneModel:
    """Keeps the run that was used last, and drops it before another is loaded. Calls from other threads wait.

    Args:
        study: whose runs are used.
        limit: bytes of weights, as stored, above which no run is loaded.
    """

    def __init__(self, study: StudyResults, limit: float) -> None:
        self._study, self._limit = study, limit
        self._lock, self._kept = Lock(), list[InteractiveRun]()

    @contextmanager
    def run(self, name: str) -> Iterator[InteractiveRun]:
        """A run with its weights, for one caller at a time.

        Raises:
            SgtError: the run is not finished, its weights are not there, damaged or too large.
        """
        with self._lock:
            yield self._loaded(name)

    def _loaded(self, name: str) -> InteractiveRun:
        if [kept.name for kept in self._kept] == [name]:
            return self._kept[0]
        # Before the next one is loaded: there need not be room for both.
        self._kept.clear()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        run = load_run(self._study, name)
        self._require_room(run)
        torch.set_num_threads(run.spec.predict.threads)
        # The weights are read here, so that a run whose files are damaged is not kept.
        run.model  # noqa: B018
        self._kept.append(run)
        return run

    def _require_room(self, run: InteractiveRun) -> None:
        folders = {checkpoint_of(run.study, run.run), *run.spec.weight_folders[1:]}
        size = sum(file.stat().st_size for folder in folders for file in Path(folder).rglob("*.safetensors"))
        if size > self._limit:
            problem = f"its weights take {amount(size)}B, above the limit of {amount(self._limit)}B"
            raise SgtError(run.name, problem, f"raise --memory, if there is room on {device_of(run.spec)}")
