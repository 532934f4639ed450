"""Making one analysis of one run, and reading its record."""

from typing import Any

from sgt.analysis.analyses import make_analysis
from sgt.data.dataset import open_dataset
from sgt.environment import environment
from sgt.errors import SgtError
from sgt.identity import read_record, write_record
from sgt.revision import code_revision
from sgt.study.identity import analysis_identity
from sgt.study.loaded import LoadedStudy
from sgt.study.record import checkpoint_of, read_run
from sgt.study.results import Results, require_current
from sgt.study.runs import Run


def analyse(study: LoadedStudy, run: Run, kind: str, name: str, command: str) -> None:
    """Write ``analyses/RUN/NAME.json``.

    Args:
        study, run: whose model.
        kind: of the analysis, which names the command.
        name: of one of the study's analyses of that kind.
        command: the command line, for the record.

    Raises:
        SgtError: the study has no such analysis; or the run or the dataset is missing, or not that of the study as it
            is; or the analysis refuses them.
    """
    # Imported here: reporting, which reads findings, does without torch.
    import torch

    from sgt.models.registry import load_model

    options, spec = study.analysis(name), study.models[run.model]
    if options.analysis != kind:
        problem, remedy = f"is no {kind}, but a {options.analysis}", f"run `{study.analysis_command(run, name)}`"
        raise SgtError(f"{study.path}: analyses.{name}", problem, remedy)
    torch.set_num_threads(spec.predict.threads)
    results = Results(study)
    if (run, name) not in study.analysed:
        remedy = f"name an arm that is compared with {options.reference}"
        raise SgtError(run.id, f"analysis {name} is not made of arm {run.arm!r}", remedy)
    others = study.read_by_analysis(run, name)
    rows = results.rows_of(study.benchmarks[options.asks]) if options.asks else []
    require_current(results.dataset(options.dataset), results.run(run), *rows)
    require_current(*(results.analysis(*each) for each in others))
    checkpoint = read_run(study, run)["checkpoint_sha256"]
    read = {each.id: read_findings(study, each, other) for each, other in others}
    identity = analysis_identity(study, run, options, checkpoint, read)
    analysis = make_analysis(options)
    analysis.prepare(study, run)
    model = load_model(spec, checkpoint_of(study, run))
    model.network.eval()
    dataset = open_dataset(study.dataset_dir(options.dataset)).first(options.samples)
    findings = analysis.measure(model, dataset)
    record = {
        "identity": identity,
        "run": {"id": run.id, "model": run.model, "arm": run.arm, "seed": run.seed},
        "analysis": options.analysis,
        "options": options.model_dump(mode="json"),
        "command": command,
        "code": code_revision(),
        "environment": environment(),
        "checkpoint_sha256": checkpoint,
        "data_sha256": identity["data"]["content"],
        "findings": findings,
    }
    write_record(study.analysis_file(run, name), record)


def read_findings(study: LoadedStudy, run: Run, name: str) -> dict[str, Any]:
    """What an analysis found in a run's model.

    Raises:
        SgtError: it was not made, or its record is damaged or was edited.
    """
    path = study.analysis_file(run, name)
    try:
        return read_record(path)["findings"]
    except FileNotFoundError:
        raise SgtError(path, "no such analysis", f"run `{study.analysis_command(run, name)}`") from None
