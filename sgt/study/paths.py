"""Where everything lies that a study is made of or makes."""

from dataclasses import dataclass
from pathlib import Path

from sgt.config.benchmarks import TARGETS, TREATMENT
from sgt.config.datasets import Images
from sgt.study.runs import Run, StudyRuns

JUDGEMENTS = "judgements"


@dataclass(frozen=True)
class StudyPaths(StudyRuns):
    """The runs of a study with the files and folders of its results, whether they are there or not."""

    def model_file(self, name: str) -> Path:
        """The file of one of the study's models."""
        return self.path.parent / "models" / f"{name}.yaml"

    def benchmark_file(self, name: str) -> Path:
        """The file of one of the study's benchmarks."""
        return self.path.parent / "benchmarks" / f"{name}.yaml"

    @property
    def results(self) -> Path:
        """Root of everything the study makes."""
        return Path(self.study.results)

    def download_dir(self, name: str) -> Path:
        """Folder of a fetched dataset or model."""
        return Path(self.study.downloads) / name

    def is_fetched(self, folder: Path | str) -> bool:
        """Whether a folder is one that `sgt fetch` fills."""
        return Path(folder).parent == Path(self.study.downloads)

    def download_of(self, dataset: str) -> Path | None:
        """Folder of the download that a dataset is made from; None if it is made from none."""
        download = getattr(self.study.datasets[dataset], "download", None)
        return self.download_dir(download) if download else None

    def source_dir(self, dataset: str) -> Path | None:
        """Folder that a dataset is made from: a download, or pictures; None for one that is synthetic."""
        spec = self.study.datasets[dataset]
        return Path(spec.folder) if isinstance(spec, Images) else self.download_of(dataset)

    def dataset_dir(self, name: str) -> Path:
        """Folder of a dataset's shards and manifest."""
        return self.results / "shards" / name

    def target_dir(self, arm: str) -> Path:
        """Folder of the target shards of an arm's proxy, named as the shards of its images."""
        return self.results / "targets" / self.images(arm) / self.proxy_name(arm)

    def run_dir(self, run: Run) -> Path:
        """Folder of a run: ``final/``, ``run.json``, and ``work/`` while it trains."""
        return self.results / "runs" / run.id

    def prediction_dir(self, run: Run, benchmark: str) -> Path:
        """Folder of a run's predictions on a benchmark."""
        return self.results / "predictions" / run.id / benchmark

    def judgement_dir(self, run: Run, benchmark: str) -> Path:
        """Folder of what a judged benchmark's evaluator made of a run's predictions."""
        return self.results / JUDGEMENTS / run.id / benchmark

    @property
    def replies_dir(self) -> Path:
        """Folder of the replies of judges, each in a file of its own, which no call is ever repeated for."""
        # No model has a name like this.
        return self.results / JUDGEMENTS / "_replies"

    def score_file(self, run: Run, benchmark: str) -> Path:
        """Metrics of a run on a benchmark."""
        return self.results / "scores" / run.id / f"{benchmark}.json"

    def drawn_targets(self, run: Run) -> Path:
        """What a run of a proxy arm made of held-out images, beside inputs and true targets: a tar."""
        return self.prediction_dir(run, TARGETS) / "images.tar"

    def treatment_file(self, run: Run) -> Path:
        """Whether a run of a proxy arm learned its proxy."""
        return self.results / "scores" / run.id / f"{TREATMENT}.json"

    def analysis_file(self, run: Run, name: str) -> Path:
        """What an analysis found in a run's model."""
        return self.results / "analyses" / run.id / f"{name}.json"
