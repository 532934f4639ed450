"""The results of a study: which are there, and which of them are current.

A result is identified by its record, which its job writes last: the identity that decided it, and the hashes of its
files. Modification times decide nothing: ``touch``, ``cp -r`` and a restored backup change no result.
"""

import logging
import os
import shlex
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from errno import EACCES, EPERM, EROFS
from functools import cache, cached_property
from pathlib import Path

from sgt.atomic import sha256
from sgt.config.benchmarks import Benchmark
from sgt.data.identity import dataset_identity
from sgt.data.manifest import MANIFEST, SCREENED
from sgt.errors import SgtError
from sgt.identity import UNKNOWN, Identity, difference, read_record
from sgt.proxies.preview import contact_sheet_identity
from sgt.proxies.render import targets_identity
from sgt.study.identity import (
    analysis_identity,
    evidence_identity,
    judgement_identity,
    page_identity,
    prediction_identity,
    run_identity,
    score_identity,
    transplant_identity,
    treatment_identity,
)
from sgt.study.loaded import LIMITED, LoadedStudy
from sgt.study.record import (
    Recorded,
    identity_in,
    judgements_record,
    manifest_record,
    page_record,
    predictions_record,
    run_record,
    screening_record,
    targets_record,
    treatment_record,
)
from sgt.study.runs import Run

log = logging.getLogger("sgt")
MISSING, MADE_FROM = "it is not there", "made from"
SOURCES = "sources.json"
PAGES = ("tables", "figures", "report")
EVIDENCE_FILE = "evidence.json"


class StaleInput(Exception):
    """What a result is made from is not there, or not of the study as it is; the text says what and why."""


@dataclass(frozen=True)
class Result:
    """What one job makes.

    Attributes:
        record: file that says what decided the result, written last.
        wanted: what decides the result of the study as it is.
        recorded: reads the record: what decided the result that is there, and the SHA-256 of its files, by path.
        command: that makes it.
        outputs: files of the job besides these.
    """

    record: Path
    wanted: Callable[[], Identity]
    recorded: Callable[[], Recorded]
    command: str
    outputs: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        # Looked at several times, and score files are large.
        object.__setattr__(self, "recorded", cache(self.recorded))

    def fault(self) -> str | None:
        """Why this is no result of the study as it is; None if it is one.

        Raises:
            SgtError: the record, or a file that is newer than it, is not as it was made.
        """
        if not self.record.exists():
            return MISSING
        identity, files = self.recorded()
        try:
            changed = difference(identity, self.wanted())
        except StaleInput as error:
            return str(error)
        if changed is None:
            self._check_unchanged(files)
        return changed

    def _check_unchanged(self, files: dict[Path, str]) -> None:
        written = self.record.stat().st_mtime_ns
        for path, digest in files.items():
            # What is older than the record is as it was recorded. What is newer may be, and is looked at.
            if path.exists() and time_of(path) > written:
                if sha256(path) != digest:
                    remedy = f"restore it, or delete {self.record} to make it again"
                    raise SgtError(path, "changed since it was made", remedy)
                set_time(path, written)

    def files(self) -> list[Path]:
        """Every file that is there."""
        paths = (self.record, *self.recorded()[1], *self.outputs)
        return [path for path in paths if path.exists()]


class Results:
    """Every result of a study. What is found is cached, so use an instance for one look at them.

    Args:
        study: as it is.
        stale_bases: models whose base weights are about to be replaced.
    """

    def __init__(self, study: LoadedStudy, stale_bases: Collection[str] = ()) -> None:
        self.study, self.stale_bases = study, stale_bases
        self._faults: dict[Path, str | None] = {}

    def fault(self, result: Result) -> str | None:
        """See :meth:`Result.fault`."""
        if result.record not in self._faults:
            self._faults[result.record] = result.fault()
        return self._faults[result.record]

    def stages(self) -> Iterator[list[Result]]:
        """All results, in the order in which they are made."""
        study = self.study
        pairs = [(run, benchmark) for run in study.evaluated_runs for benchmark in study.benchmarks.values()]
        yield [self.dataset(name) for name in study.study.datasets]
        yield [self.screening(name) for name in study.screened_datasets]
        yield [result for arm in study.proxy_arms for result in self.targets(arm)]
        yield [self.run(run) for run in study.runs]
        if study.transplant_runs:
            yield [self.run(run) for run in study.transplant_runs]
        treatments = [self.treatment(run) for run in study.proxy_runs]
        first, then = self._analyses_in_order
        yield [self.prediction(*each) for each in pairs] + treatments + first
        if then:
            yield then
        if judged := [each for each in pairs if each[1].judged]:
            yield [self.judgement(*each) for each in judged]
        yield [self.score(*each) for each in pairs]
        yield [self.contact_sheet(study.preview_dataset)] if study.preview_dataset else []
        yield [self.evidence()]
        # The report is made from the other two.
        *sources, report = map(self.page, PAGES)
        yield sources
        yield [report]

    @cached_property
    def reported(self) -> list[Result]:
        """What tables, figures and report are made from."""
        pairs = [(run, benchmark) for run in self.study.evaluated_runs for benchmark in self.study.benchmarks.values()]
        treatments = [self.treatment(run) for run in self.study.proxy_runs]
        return [self.score(*each) for each in pairs] + treatments + self.analyses

    @cached_property
    def analyses(self) -> list[Result]:
        """Every analysis of every run."""
        return [self.analysis(*each) for each in self.study.analysed]

    @property
    def _analyses_in_order(self) -> tuple[list[Result], list[Result]]:
        """The analyses that read no other, and those that do."""
        reads = [bool(self.study.analyses[name].reads) for _, name in self.study.analysed]
        pairs = list(zip(reads, self.analyses, strict=True))
        return [each for reading, each in pairs if not reading], [each for reading, each in pairs if reading]

    @cached_property
    def evidenced(self) -> list[Result]:
        """What decides evidence. Data and targets may be gone: what was made from them has their hashes."""
        runs, benchmarks = self.study.evaluated_runs, self.study.benchmarks.values()
        predictions = [self.prediction(run, benchmark) for run in runs for benchmark in benchmarks]
        judgements = [self.judgement(run, benchmark) for run in runs for benchmark in benchmarks if benchmark.judged]
        return [*(self.run(run) for run in runs), *predictions, *judgements, *self.reported]

    def dataset(self, name: str) -> Result:
        """A dataset of shards."""
        folder, spec = self.study.dataset_dir(name), self.study.study.datasets[name]
        return Result(
            folder / MANIFEST,
            lambda: dataset_identity(spec, self.study.source_dir(name), folder),
            lambda: manifest_record(folder),
            self._make_data,
        )

    def screening(self, name: str) -> Result:
        """The screening of a dataset. Whether it was made for the models of this study is checked where it is read."""
        folder = self.study.dataset_dir(name)
        path, manifest = folder / SCREENED, folder / MANIFEST

        def wanted() -> Identity:
            return {"manifest": sha256(manifest) if self._require_if_there(self.dataset(name)) else UNKNOWN}

        return Result(path, wanted, lambda: screening_record(path), self._make_data)

    def targets(self, arm: str) -> list[Result]:
        """The shards of an arm's targets."""
        images, proxy, folder = self.dataset(self.study.images(arm)), self.study.proxy(arm), self.study.target_dir(arm)

        @cache
        def sources() -> dict[str, str]:
            """SHA-256 of each shard that targets are rendered from, by name: once for all of them."""
            return {path.name: digest for path, digest in images.recorded()[1].items()}

        def targets(name: str) -> Result:
            def wanted() -> Identity:
                if not self._require_if_there(images):
                    return targets_identity(proxy, UNKNOWN)
                if name not in sources():
                    raise StaleInput(f"{MADE_FROM} {images.record}: it has no {name}")
                return targets_identity(proxy, sources()[name])

            path = folder / name
            return Result(path.with_suffix(".json"), wanted, lambda: targets_record(path), self._make_data)

        return [targets(name) for name in self.study.target_shards(arm)]

    def run(self, run: Run) -> Result:
        """A run, which may be a transplant: its weights, or for ``base`` a pointer to the model's own."""
        is_transplant = run.arm in self.study.study.transplants
        path = self.study.run_dir(run) / "run.json"

        def wanted() -> Identity:
            if run.model in self.stale_bases:
                raise StaleInput(f"{MADE_FROM} other base weights in {self.study.models[run.model].checkpoint}")
            if is_transplant:
                return transplant_identity(self.study, run, *map(self._checkpoint, self.study.transplanted(run)))
            return run_identity(self.study, run)

        command = self._command("transplant" if is_transplant else "train", run)
        return Result(path, wanted, lambda: run_record(path), command=command)

    def rows_of(self, benchmark: Benchmark) -> list[Result]:
        """What a benchmark's rows are read from, if the study makes it."""
        return [] if benchmark.dataset is None else [self.dataset(benchmark.dataset)]

    def prediction(self, run: Run, benchmark: Benchmark) -> Result:
        """A run's predictions on a benchmark."""
        path = self.study.prediction_dir(run, benchmark.name) / "meta.json"
        return Result(
            path,
            lambda: prediction_identity(self.study, run, benchmark, self._checkpoint(run)),
            lambda: predictions_record(path),
            command=f"{self._command('predict', run)} {_named(benchmark)}",
        )

    def judgement(self, run: Run, benchmark: Benchmark) -> Result:
        """What a judged benchmark's evaluator makes of a run's predictions."""
        prediction = self.prediction(run, benchmark)

        def wanted() -> Identity:
            self._require(prediction)
            return judgement_identity(benchmark, read_record(prediction.record))

        path = self.study.judgement_dir(run, benchmark.name) / "meta.json"
        command = f"{self._command('judge', run)} {_named(benchmark)}"
        return Result(path, wanted, lambda: judgements_record(path), command=command)

    def treatment(self, run: Run) -> Result:
        """Whether a proxy arm learned its proxy, and what it made of held-out images."""
        path = self.study.treatment_file(run)
        return Result(
            path,
            lambda: treatment_identity(self.study, run, self._checkpoint(run)),
            lambda: treatment_record(path, self.study.drawn_targets(run)),
            command=self._command("treatment", run),
        )

    def analysis(self, run: Run, name: str) -> Result:
        """What an analysis found in a run's model."""
        path, options = self.study.analysis_file(run, name), self.study.analysis(name)

        def wanted() -> Identity:
            asked = [] if options.asks is None else self.rows_of(self.study.benchmarks[options.asks])
            for dataset in (self.dataset(options.dataset), *asked):
                self._require_if_there(dataset)
            others = [(each, self.analysis(each, read)) for each, read in self.study.read_by_analysis(run, name)]
            self._require(*(result for _, result in others))
            read = {each.id: read_record(result.record)["findings"] for each, result in others}
            return analysis_identity(self.study, run, options, self._checkpoint(run), read)

        command = self.study.analysis_command(run, name)
        return Result(path, wanted, lambda: (identity_in(path, read_record(path)), {}), command=command)

    def score(self, run: Run, benchmark: Benchmark) -> Result:
        """The metrics of a run on a benchmark."""
        made = self.judgement(run, benchmark) if benchmark.judged else self.prediction(run, benchmark)

        def wanted() -> Identity:
            self._require(made)
            return score_identity(benchmark, read_record(made.record))

        path = self.study.score_file(run, benchmark.name)
        command = f"{self._command('score', run)} {_named(benchmark)}"
        return Result(path, wanted, lambda: (identity_in(path, read_record(path)), {}), command=command)

    def contact_sheet(self, dataset: str) -> Result:
        """The contact sheet of the proxies, with the first samples of a dataset."""
        path, images = self.study.results / "figures" / "proxies.json", self.dataset(dataset)

        def wanted() -> Identity:
            first = next(iter(images.recorded()[1].values())) if self._require_if_there(images) else UNKNOWN
            return contact_sheet_identity({name: self.study.proxy(name) for name in self.study.distinct_proxies}, first)

        sheet = (path.with_suffix(".png"),)
        return Result(path, wanted, lambda: (identity_in(path, read_record(path)), {}), self._make_study, sheet)

    def page(self, name: str) -> Result:
        """Tables, figures or report."""
        path = self.study.results / name / SOURCES

        def wanted() -> Identity:
            self._require(*self.reported)
            return page_identity(self.study, [result.record for result in self.reported])

        return Result(path, wanted, lambda: page_record(path), self._make_study, tuple(page_files(path)))

    def evidence(self) -> Result:
        """What leads from each cell of the tables to its data."""
        path = self.study.results / EVIDENCE_FILE

        def wanted() -> Identity:
            self._require(*self.evidenced)
            return evidence_identity(self.study, [result.record for result in self.evidenced])

        command = f"sgt evidence {self._path}"
        return Result(path, wanted, lambda: (identity_in(path, read_record(path)), {}), command=command)

    @property
    def _path(self) -> str:
        """The study's file, as a shell takes it."""
        return shlex.quote(str(self.study.path))

    @property
    def _make_study(self) -> str:
        return f"make study STUDY={self._path}"

    @property
    def _make_data(self) -> str:
        """Where data are gone and all that followed from them is there, the workflow makes them only if asked to."""
        return f"{self._make_study} FLAGS=data"

    def _command(self, name: str, run: Run) -> str:
        return f"sgt {name} {self._path} --model {run.model} --arm {run.arm} --seed {run.seed}"

    def _checkpoint(self, run: Run) -> str:
        """Hash of a run's weights."""
        result = self.run(run)
        self._require(result)
        return read_record(result.record)["checkpoint_sha256"]

    def _require_if_there(self, dataset: Result) -> bool:
        """Check a dataset if it is there, and return whether it is: one that is gone makes nothing old, since what was
        made from it has its hashes.

        Raises:
            StaleInput: it is not of the study as it is.
        """
        if self.fault(dataset) == MISSING:
            return False
        self._require(dataset)
        return True

    def _require(self, *results: Result) -> None:
        for result in results:
            if fault := self.fault(result):
                # Report the first cause, not every step from it to here.
                raise StaleInput(fault if fault.startswith(MADE_FROM) else f"{MADE_FROM} {result.record}: {fault}")


def cannot_be_compared(fault: str) -> bool:
    """Whether a fault says that a result is there and what it is made from is not."""
    return fault.startswith(MADE_FROM) and fault.endswith(MISSING)


def _named(benchmark: Benchmark) -> str:
    """The arguments that name a benchmark; see :meth:`LoadedStudy.benchmark`."""
    name, limited, limit = benchmark.name.partition(LIMITED)
    return f"--benchmark {name} --limit {limit}" if limited else f"--benchmark {name}"


def require_current(*results: Result) -> None:
    """Check that results are there, and those of the study as it is.

    Raises:
        SgtError: one is not.
    """
    for result in results:
        if fault := result.fault():
            problem = fault if fault == MISSING else f"not of the study as it is: {fault}"
            raise SgtError(result.record, problem, f"run `{result.command}`")
        if result.recorded()[0] == UNKNOWN:
            log.warning("%s: does not say what decided it; used as it is", result.record)


def page_files(record: Path) -> list[Path]:
    """The files beside the record of tables, figures or report that were made with it; a contact sheet was not."""
    return [file for file in record.parent.glob("*") if file.is_file() and file.stem not in ("proxies", record.stem)]


def time_of(path: Path) -> int:
    """When a file, or the link that leads to it, was written last, in nanoseconds."""
    return max(path.lstat().st_mtime_ns, path.stat().st_mtime_ns)


def set_time(path: Path, time: int) -> None:
    """Set the modification time of a file or of the link to it.

    Files of other users, and those on a file system that is read-only, are left as they are.
    """
    try:
        os.utime(path, ns=(time, time), follow_symlinks=False)
    except OSError as error:
        if error.errno not in (EACCES, EPERM, EROFS):
            raise
