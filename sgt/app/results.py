"""The results of a study as pandas tables."""

from typing import TYPE_CHECKING, Any

from PIL import Image

from sgt.app.states import state_of_run
from sgt.data.dataset import open_dataset
from sgt.data.images import image_of
from sgt.errors import SgtError
from sgt.identity import read_record
from sgt.study.loaded import LoadedStudy
from sgt.study.results import Results, require_current

if TYPE_CHECKING:
    import pandas as pd


class StudyResults:
    """What a study has made, to read with pandas.

    Attributes:
        study: the valid study file with the files that it names.
    """

    def __init__(self, study: LoadedStudy) -> None:
        self.study = study

    def __repr__(self) -> str:
        return f"StudyResults({str(self.study.path)!r})"

    @property
    def name(self) -> str:
        """The study's name."""
        return self.study.study.name

    @property
    def runs(self) -> list[str]:
        """Names of all runs, finished or not: ``MODEL/ARM/seedN``."""
        return [run.id for run in self.study.evaluated_runs]

    @property
    def transplants(self) -> list[str]:
        """Names of those runs that were not trained, but made of the parts of two others."""
        return [run.id for run in self.study.transplant_runs]

    @property
    def tables(self) -> list[str]:
        """Names of the tables that are there: ``main``, ``all``, ``treatment``, ``outcomes``, …"""
        return sorted(path.stem for path in (self.study.results / "tables").glob("*.csv"))

    def states(self) -> "pd.DataFrame":
        """One row per run: ``run``, ``model``, ``arm``, ``seed``, and ``state`` as in ``sgt ls runs``."""
        import pandas as pd

        results = Results(self.study)
        rows = [{"run": run.id, **vars(run), "state": state_of_run(results, run)} for run in self.study.evaluated_runs]
        return pd.DataFrame(rows)

    def table(self, name: str, *, outdated: bool = False) -> "pd.DataFrame":
        """A table of ``results/tables``, with the columns of its CSV file.

        Args:
            name: such as ``main``; :attr:`tables` lists them.
            outdated: accept a table that is not made from results of the study as it is.

        Raises:
            SgtError: there is no such table, or it is outdated.
        """
        import pandas as pd

        path = self.study.results / "tables" / f"{name}.csv"
        if name not in self.tables:
            remedy = f"use one of {', '.join(self.tables)}" if self.tables else f"run `sgt tables {self.study.path}`"
            raise SgtError(path, "no such table", remedy)
        if not outdated:
            require_current(Results(self.study).page("tables"))
        return pd.read_csv(path)

    def items(self, run: str, benchmark: str) -> "pd.DataFrame":
        """The score of every item of a benchmark: ``id``, dimensions such as ``kind``, and values such as ``accuracy``.

        Args:
            run: ``MODEL/ARM/seedN``.
            benchmark: one of the study's.

        Raises:
            SgtError: there is no such run or benchmark, or its score is missing or outdated.
        """
        import pandas as pd

        known = {each.id: each for each in self.study.evaluated_runs}
        if run not in known:
            raise SgtError(self.study.path, f"no run {run}", "use one of `runs`")
        score = Results(self.study).score(known[run], self.study.benchmark(benchmark))
        require_current(score)
        return pd.DataFrame(read_record(score.record)["items"])

    def sample(self, dataset: str, place: int = 0) -> tuple[Image.Image, dict[str, Any]]:
        """A picture of one of the study's datasets, with its record: ``questions``, ``caption``, ``annotations``, …

        Args:
            dataset: by its name in the study.
            place: of the sample, from 0.

        Raises:
            SgtError: there is no such dataset or sample, or the dataset is not made.
        """
        known = self.study.study.datasets
        if dataset not in known:
            raise SgtError(self.study.path, f"no dataset {dataset!r}", f"use one of {', '.join(known)}")
        require_current(Results(self.study).dataset(dataset))
        samples = open_dataset(self.study.dataset_dir(dataset))
        if not 0 <= place < len(samples):
            raise SgtError(f"dataset {dataset}", f"no sample {place}", f"use 0 to {len(samples) - 1}")
        sample = samples[place]
        return image_of(sample), sample.json() if "json" in sample.files else {}
