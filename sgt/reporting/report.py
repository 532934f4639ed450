"""``sgt report``: one page, complete in itself, of what a study found and of the evidence for it."""

import argparse
import base64
import json
import logging
from pathlib import Path

import jinja2
import pandas as pd
import yaml

from sgt.atomic import write_text
from sgt.errors import SgtError
from sgt.reporting.environments import environments
from sgt.reporting.findings import findings
from sgt.reporting.scores import Scores
from sgt.reporting.sources import reporting
from sgt.reporting.stages import stage_times
from sgt.reporting.tables import NOTE, tables_of, wide
from sgt.revision import code_revision
from sgt.study.load import LoadedStudy, load_study
from sgt.study.record import read_run

log = logging.getLogger("sgt")
# File, and what it shows. A study without generation has fewer.
FIGURES = {
    "gains": "Gain in accuracy over the control that saw the same questions and no proxy, by kind of question.",
    "generation": "Scenes made from captions: share of the things a caption names that were read off the image.",
    "samples": "What each proxy arm makes of held-out scenes, beside the target it should make.",
    "scenes": "Scenes made from captions of held-out scenes, with the scene that each caption describes.",
    "training": "Losses of every trained run.",
    "proxies": "The proxies: inputs and the targets rendered from them.",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt report``."""
    parser.add_argument("study", type=Path)


def run(args: argparse.Namespace) -> None:
    """Write the report of a study, from results of the study as it is.

    Raises:
        SgtError: a result is not there, or not of the study as it is.
    """
    study = load_study(args.study)
    with reporting(study, "report"):
        write_report(study)


def write_report(study: LoadedStudy) -> None:
    """Write ``report/index.html``.

    Raises:
        SgtError: a score or a figure is missing.
    """
    scores = Scores(study)
    used = environments(scores)
    if len(used) > 1:
        log.warning("the results are of %d different environments: see Evidence in the report", len(used))
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.get_template("report.html.j2").render(
        study=study.study,
        study_file=study.path,
        study_text=study.path.read_text(encoding="utf-8"),
        findings=findings(scores),
        tables={name: _html(cells) for name, cells in tables_of(scores).items()},
        note=NOTE.replace("`", ""),
        figures=_figures(study),
        runs=[_evidence(study, run) for run in study.runs],
        benchmarks=_protocols(scores),
        environments=used,
        stages=stage_times(study.results / "benchmarks").to_dict("records"),
        code=code_revision(),
    )
    write_text(study.results / "report" / "index.html", page)


def _html(cells: pd.DataFrame) -> str:
    """A table whose gains are lines of their own; every text in it is ours."""
    return wide(cells, "<b>{}</b>", "<br>").to_html(index=False, escape=False, border=0)


def _figures(study: LoadedStudy) -> list[dict[str, str]]:
    shown = []
    for name, caption in FIGURES.items():
        path = study.results / "figures" / f"{name}.png"
        if path.exists():
            shown.append({"name": name, "caption": caption, "data": base64.b64encode(path.read_bytes()).decode()})
    if not shown:
        raise SgtError(study.results / "figures", "no figures", f"run `sgt figures {study.path}`")
    return shown


def _evidence(study: LoadedStudy, run) -> dict:
    record = read_run(study, run)
    seconds = record.get("seconds")
    return {**record, "seconds": "" if seconds is None else f"{seconds:.0f}"}


def _protocols(scores: Scores) -> list[dict]:
    told = []
    for name, spec in scores.study.benchmarks.items():
        score = scores.files[scores.study.runs[0], name]
        told.append(
            {
                "name": name,
                "version": spec.version,
                "dataset": spec.dataset,
                "protocol": yaml.safe_dump(score["protocol"], default_flow_style=True, width=10_000).strip(),
                "evaluator": json.dumps(score["evaluator"]),
                "data": score["hashes"]["data"],
            }
        )
    return told
