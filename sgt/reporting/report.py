"""One page, complete in itself, of what a study found and of the evidence for it."""

import base64
import json
import logging
from pathlib import Path

import jinja2
import pandas as pd
import yaml

from sgt.atomic import write_text
from sgt.config.study import ARM_WITHOUT_PROXY
from sgt.errors import SgtError
from sgt.reporting.contents import CAPTIONS, figures_of
from sgt.reporting.environments import environments
from sgt.reporting.findings import findings, headline
from sgt.reporting.protocols import protocol_pivot, protocol_rows, protocols_note
from sgt.reporting.scores import Scores
from sgt.reporting.stages import stage_times
from sgt.reporting.tables import note, pivot, tables_of, treatment_note, treatment_pivot
from sgt.reporting.treatments import summary, treatment_rows
from sgt.reporting.verdicts import MEANING
from sgt.revision import code_revision
from sgt.study.load import LoadedStudy
from sgt.study.record import read_run

log = logging.getLogger("sgt")

# The figures of the report's first two parts; its third has the others.
OF_TREATMENT, OF_GAINS = ("treatment", "samples"), ("gains", "outcomes")


def write_report(study: LoadedStudy) -> None:
    """Write ``report/index.html``.

    Raises:
        SgtError: a score or a figure is missing.
    """
    scores = Scores(study)
    found, used, figures = findings(scores), environments(scores), _figures(study)
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.get_template("report.html.j2").render(
        study=study.study,
        study_file=study.path,
        study_text=study.path.read_text(encoding="utf-8"),
        compared=ARM_WITHOUT_PROXY in study.study.arms,
        learned=list(summary(study, scores.treatments)),
        treatment=_treatment(scores),
        treatment_note=treatment_note(scores),
        findings=found,
        meaning={each: text for each, text in MEANING.items() if each in {finding.verdict for finding in found}},
        tables={name: _html(scores, cells) for name, cells in tables_of(scores).items()},
        note=note(scores).replace("`", ""),
        of_treatment=[figures[name] for name in OF_TREATMENT if name in figures],
        of_gains=[figures[name] for name in OF_GAINS if name in figures],
        other_figures=[each for name, each in figures.items() if name not in OF_TREATMENT + OF_GAINS],
        runs=[_evidence(study, run) for run in study.runs],
        benchmarks=_evaluations(scores),
        chance=_chance(scores),
        protocols=_protocols(scores),
        protocols_note=protocols_note(),
        environments=used,
        stages=stage_times(study.results / "benchmarks").to_dict("records"),
        code=code_revision(),
    )
    write_text(report_file(study), page)
    for line in ending(scores):
        log.info("%s", line)


def report_file(study: LoadedStudy) -> Path:
    """The report's address."""
    return study.results / "report" / "index.html"


def ending(scores: Scores) -> list[str]:
    """The last lines of a study: whether its arms learned their task, what it found, and where its report is."""
    used = environments(scores)
    warning = [f"warning: the results are of {len(used)} different environments: see Evidence in the report"]
    first = [*(warning if len(used) > 1 else []), *summary(scores.study, scores.treatments)]
    return [*first, *headline(findings(scores)), f"report: {report_file(scores.study)}"]


def _html(scores: Scores, cells: pd.DataFrame) -> str:
    """A table whose gains are lines of their own; every text in it is ours."""
    return pivot(scores, cells, "<b>{}</b>", "<br>").to_html(index=False, escape=False, border=0)


def _treatment(scores: Scores) -> str:
    """The table of treatments; empty without a proxy arm."""
    if not scores.treatments:
        return ""
    people = treatment_pivot(treatment_rows(scores.study, scores.treatments))
    return people.to_html(index=False, border=0)


def _protocols(scores: Scores) -> str:
    """The table of protocols; empty without a fetched benchmark."""
    rows = protocol_rows(scores)
    return "" if rows.empty else protocol_pivot(rows).to_html(index=False, border=0)


def _figures(study: LoadedStudy) -> dict[str, dict[str, str]]:
    figures = {}
    for name in [*figures_of(study), "proxies"]:
        path = study.results / "figures" / f"{name}.png"
        if path.exists():
            data = base64.b64encode(path.read_bytes()).decode()
            figures[name] = {"name": name, "caption": CAPTIONS[name], "data": data}
        elif name != "proxies":
            raise SgtError(path, "no such figure", f"run `sgt figures {study.path}`")
    return figures


def _evidence(study: LoadedStudy, run) -> dict:
    record = read_run(study, run)
    seconds = record.get("seconds")
    return {**record, "seconds": "" if seconds is None else f"{seconds:.0f}"}


def _evaluations(scores: Scores) -> list[dict]:
    """What the report states of each benchmark."""
    rows = []
    for name, spec in scores.study.benchmarks.items():
        score = scores.files[scores.study.runs[0], name]
        rows.append(
            {
                "name": name,
                "version": spec.version,
                "dataset": spec.dataset or ", ".join(spec.data_downloads),
                "options": yaml.safe_dump(score["options"], default_flow_style=True, width=10_000).strip(),
                "evaluator": json.dumps(score["evaluator"]),
                "data": score["hashes"]["data"],
            }
        )
    return rows


def _chance(scores: Scores) -> list[str]:
    """How chance was worked out, by benchmark."""
    first = {name: scores.files[scores.study.runs[0], name] for name in scores.study.benchmarks}
    return [f"{name}, {score['chance_definition']}" for name, score in first.items() if score["chance_definition"]]
