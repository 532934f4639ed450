"""What arms drew of the scene that a question is about: from its caption, or as their target."""

from collections.abc import Collection, Iterator
from pathlib import Path

from sgt.config.benchmarks import Benchmark, ImageBenchmark
from sgt.data.images import decode_image
from sgt.data.shards import Member, read_sample, scan_shard
from sgt.evaluation.tasks import make_task
from sgt.reporting.pictures import small
from sgt.reporting.scores import Scores
from sgt.study.runs import Run


class Drawings:
    """The images that runs made of a benchmark's scenes, by the key of the scene.

    A study has them where it draws from captions of the same dataset, or checks its proxy arms on it.

    Args:
        scores: of the study.
        benchmark: whose questions are about the scenes.
    """

    def __init__(self, scores: Scores, benchmark: Benchmark) -> None:
        self._study = study = scores.study
        of_images = [each for each in study.benchmarks.values() if isinstance(each, ImageBenchmark)]
        same = [each for each in of_images if benchmark.dataset is not None and each.dataset == benchmark.dataset]
        self._from_captions = [each.name for each in same if make_task(each).redistributable]
        self._of_targets = benchmark.dataset is not None and study.held_out == benchmark.dataset
        self._indices: dict[Path, dict[str, Member]] = {}

    def keys(self, run: Run) -> set[str]:
        """Keys of the scenes that a run drew something of."""
        return {key for _, path in self._files(run) for key in self._index(path)}

    def of(self, run: Run, scenes: Collection[str]) -> Iterator[tuple[str, str]]:
        """What a run drew of one of some scenes: how it is labelled, and an address that holds the image."""
        for what, path in self._files(run):
            index = self._index(path)
            for key in (scene for scene in scenes if scene in index):
                sample = read_sample(path, key, [index[key]])
                yield f"{run.arm}, {what}", small(decode_image(sample.get("png"), f"{path}: {key}.png"))

    def _files(self, run: Run) -> Iterator[tuple[str, Path]]:
        for name in self._from_captions:
            yield "from the caption", self._study.prediction_dir(run, name) / "images.tar"
        if self._of_targets and run.proxy:
            yield "its target", self._study.drawn_targets(run)

    def _index(self, path: Path) -> dict[str, Member]:
        """Where each drawing is in a tar; nothing of one that is not here."""
        if path not in self._indices:
            members = scan_shard(path) if path.exists() else ()
            self._indices[path] = {member.key: member for member in members if member.extension == "png"}
        return self._indices[path]
