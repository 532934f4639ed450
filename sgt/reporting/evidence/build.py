"""Collecting the evidence of a study from the records of its results; no shard, checkpoint or prediction is read."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sgt.atomic import sha256
from sgt.config.benchmarks import Benchmark
from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.data.identity import dataset_content, fetched_files, fetched_revision
from sgt.data.manifest import MANIFEST, read_manifest
from sgt.environment import environment, packages
from sgt.identity import read_record, write_record
from sgt.json_files import read_json
from sgt.reporting.evidence.cells import cells_of
from sgt.reporting.evidence.schema import (
    Base,
    Checkpoint,
    Data,
    Dataset,
    Evaluation,
    Evidence,
    Judgements,
    Predictions,
    Record,
    RunEvidence,
    ScoreFile,
    StudyAbout,
    Targets,
    TreatmentEvidence,
)
from sgt.reporting.evidence.work import work_of
from sgt.reporting.scores import Scores
from sgt.reporting.stages import job_seconds
from sgt.study.commands import dataset_commands, render_commands
from sgt.study.identity import base_content, base_files
from sgt.study.load import load_study
from sgt.study.loaded import LoadedStudy
from sgt.study.record import checkpoint_of, read_run, run_record
from sgt.study.results import Results, require_current
from sgt.study.runs import Run


def write_evidence(path: Path) -> None:
    """Write ``evidence.json`` of a study.

    Args:
        path: file of the study.

    Raises:
        SgtError: a result that the tables are made from is missing, or not that of the study as it is.
    """
    study = load_study(path)
    results = Results(study)
    data = [results.dataset(name) for name in study.used_datasets]
    targets = [result for arm in study.proxy_arms for result in results.targets(arm)]
    require_current(*data, *targets, *results.evidenced)
    result = results.evidence()
    evidence = evidence_of(study, result.wanted())
    write_record(result.record, evidence.model_dump(mode="json", exclude={"record_sha256"}))


def evidence_of(study: LoadedStudy, identity: dict[str, Any]) -> Evidence:
    """The evidence of a study whose results are all there."""
    # Of arms that share a proxy and its images, the one that uses most of them comes last, and is kept.
    by_shards = sorted(study.proxy_arms, key=lambda arm: len(study.target_shards(arm)))
    return Evidence(
        identity=identity,
        study=StudyAbout(name=study.study.name, files={str(path): sha256(path) for path in _study_files(study)}),
        packages={environment()["packages"]: packages()},
        downloads=_downloads(study),
        bases={name: _base(study, name) for name in study.models},
        datasets={name: _dataset(study, name) for name in study.used_datasets},
        targets={_targets_name(study, arm): _targets(study, arm) for arm in by_shards},
        runs={run.id: _run(study, run) for run in study.runs},
        evaluations={
            f"{run.id}/{name}": _evaluation(study, run, benchmark)
            for run in study.runs
            for name, benchmark in study.benchmarks.items()
        },
        treatments={run.id: _treatment(study, run) for run in study.proxy_runs},
        cells=cells_of(Scores(study)),
    )


def _record(path: Path) -> Record:
    return Record(path=str(path), sha256=sha256(path))


def _study_files(study: LoadedStudy) -> list[Path]:
    models, benchmarks = map(study.model_file, study.models), map(study.benchmark_file, study.benchmarks)
    return [study.path, *models, *benchmarks]


def _downloads(study: LoadedStudy) -> dict[str, dict[str, str]]:
    return {
        str(folder): {str(folder / name): content for name, content in (fetched_files(folder) or {}).items()}
        for folder in study.read_downloads
    }


def _base(study: LoadedStudy, model: str) -> Base:
    spec = study.models[model]
    folders = [folder for folder in (spec.checkpoint, spec.overlay) if folder]
    return Base(
        folders=folders,
        revisions={folder: found for folder in folders if (found := fetched_revision(Path(folder)))},
        released=spec.released,
        content=base_content(spec),
        files={str(path): content for path, content in base_files(spec).items()},
    )


def _dataset(study: LoadedStudy, name: str) -> Dataset:
    folder = study.dataset_dir(name)
    manifest = read_manifest(folder)
    return Dataset(
        record=_record(folder / MANIFEST),
        content=dataset_content(folder),
        files={str(folder / shard["file"]): shard["sha256"] for shard in manifest["shards"]},
        samples=manifest["count"],
        source=manifest.get("source"),
        revision=manifest.get("revision"),
        licence=manifest.get("licence"),
        download=str(download) if (download := study.download_of(name)) else None,
        commands=dataset_commands(study, name),
    )


def _targets_name(study: LoadedStudy, arm: str) -> str:
    return f"{study.images(arm)}/{study.proxy_name(arm)}"


def _targets(study: LoadedStudy, arm: str) -> Targets:
    shards = [study.target_dir(arm) / name for name in study.target_shards(arm)]
    reports = {shard: shard.with_suffix(".json") for shard in shards}
    return Targets(
        dataset=study.images(arm),
        proxy=study.proxy(arm).identity,
        records={str(report): sha256(report) for report in reports.values()},
        files={
            str(shard): read_json(report, "delete it to render the targets again")["sha256"]
            for shard, report in reports.items()
        },
        downloads=[str(folder) for folder in study.proxy(arm).downloads],
        commands=render_commands(study, arm),
    )


def _run(study: LoadedStudy, run: Run) -> RunEvidence:
    path, record, spec = study.run_dir(run) / "run.json", read_run(study, run), study.models[run.model]
    trained = run.arm != ARM_WITHOUT_TRAINING
    files = run_record(path)[1] if trained else base_files(spec)
    return RunEvidence(
        model=run.model,
        arm=run.arm,
        seed=run.seed,
        record=_record(path),
        identity=record["identity"],
        base=record["identity"]["base"],
        questions=study.questions.dataset if trained else None,
        images=study.images(run.arm) if run.proxy else None,
        targets=_targets_name(study, run.arm) if run.proxy else None,
        checkpoint=Checkpoint(
            folder=str(checkpoint_of(study, run)),
            sha256=record["checkpoint_sha256"],
            files={str(file): content for file, content in files.items()},
        ),
        steps=record["steps"],
        # A job that found the run finished took no time.
        work=work_of(record, record.get("seconds"), record.get("processes", 1)),
    )


def _evaluation(study: LoadedStudy, run: Run, benchmark: Benchmark) -> Evaluation:
    name, times = benchmark.name, study.results / "benchmarks"
    path, scored = study.prediction_dir(run, name) / "meta.json", study.score_file(run, name)
    meta, score = read_record(path), read_record(scored)
    jobs = [times / "predict" / run.id / f"{name}.tsv", *(times / "predict" / run.id).glob(f"{name}-*-of-*.tsv")]
    return Evaluation(
        run=run.id,
        benchmark=name,
        task=benchmark.task,
        version=benchmark.version,
        protocol=benchmark.protocol,
        options=score["options"],
        data=Data(
            sha256=meta["data_sha256"],
            dataset=benchmark.dataset,
            downloads=[] if benchmark.dataset else [str(folder) for folder in study.rows_dirs(benchmark)],
        ),
        predictions=Predictions(
            record=_record(path),
            path=str(path.parent / meta["file"]),
            sha256=meta["predictions_sha256"],
            count=meta["count"],
            work=work_of(meta, _sum(job_seconds(job) for job in jobs)),
        ),
        judgements=_judgements(study, run, name) if benchmark.judged else None,
        scores=ScoreFile(
            record=_record(scored),
            count=score["counts"]["scored"],
            scoring=score["identity"]["scoring"],
            evaluator=score["evaluator"],
            downloads=list(benchmark.downloads),
            work=work_of(
                {
                    "command": score["commands"][-1],
                    "code": score["code"]["score"],
                    "environment": score["environment"]["score"],
                },
                job_seconds(times / "score" / run.id / f"{name}.tsv"),
            ),
        ),
    )


def _judgements(study: LoadedStudy, run: Run, benchmark: str) -> Judgements:
    path, times = study.judgement_dir(run, benchmark) / "meta.json", study.results / "benchmarks" / "judge"
    meta = read_record(path)
    # Of a job that judged all runs, no run has a time of its own.
    return Judgements(
        record=_record(path),
        path=str(path.parent / meta["file"]),
        sha256=meta["judgements_sha256"],
        count=meta["count"],
        statuses=meta["statuses"],
        work=work_of(meta, job_seconds(times / run.id / f"{benchmark}.tsv")),
    )


def _sum(seconds: Iterable[float | None]) -> float | None:
    known = [each for each in seconds if each is not None]
    return sum(known) if known else None


def _treatment(study: LoadedStudy, run: Run) -> TreatmentEvidence:
    path = study.treatment_file(run)
    record = read_record(path)
    return TreatmentEvidence(
        run=run.id,
        record=_record(path),
        data=Data(sha256=record["identity"]["data"]["content"], dataset=study.held_out, downloads=[]),
        path=str(study.drawn_targets(run)),
        sha256=record["images_sha256"],
        items=record["items"],
        work=work_of(record, job_seconds(study.results / "benchmarks" / "treatment" / f"{run.id}.tsv")),
    )
