"""One page, complete in itself, of what a study found and of the evidence for it."""

import base64
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml
from PIL import Image

from sgt.atomic import write_text
from sgt.config.benchmarks import ImageBenchmark
from sgt.config.study import ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING
from sgt.errors import SgtError
from sgt.reporting.analysis_grids import analysis_grids
from sgt.reporting.by_model import gains_csv, heat_map, model_tables
from sgt.reporting.changes import changes, may_be_shown
from sgt.reporting.contents import CAPTIONS, figures_of
from sgt.reporting.environments import environments
from sgt.reporting.explanations import explanation
from sgt.reporting.findings import findings, headline
from sgt.reporting.grid import html_table
from sgt.reporting.opening import answers, badge, key_figure
from sgt.reporting.paper.layouts import paper_tables
from sgt.reporting.paper.texts import grid_of
from sgt.reporting.protocols import protocol_pivot, protocol_rows, protocols_note
from sgt.reporting.references import bibtex, names_in
from sgt.reporting.release import costs, licences, obstacles
from sgt.reporting.released import TITLE, released_grid
from sgt.reporting.scores import Scores
from sgt.reporting.stages import stage_times
from sgt.reporting.tables import interval_note, treatment_note, treatment_pivot
from sgt.reporting.treatments import summary, treatment_rows
from sgt.reporting.verdicts import MEANING
from sgt.reporting.wording import readable
from sgt.revision import code_revision
from sgt.study.loaded import LoadedStudy
from sgt.study.record import read_run
from sgt.study.releases import compared_releases, release_in_words, release_of, trains
from sgt.study.runs import Run

log = logging.getLogger("sgt")

# The figures of these parts of the report; its analysis has the others.
OF_TREATMENT, OF_GAINS, OF_PROXIES = (
    ("treatment", "samples"),
    ("gains", "dimensions", "ratio", "scale", "outcomes"),
    ("proxies",),
)
# Pixels of a page per inch, by the definition of CSS.
CSS_DPI = 96
# Bytes up to which a figure is in the page as SVG, even if its PNG is smaller.
SMALL_SVG = 200_000
TEMPLATES = Path(__file__).parent / "templates"


def write_report(study: LoadedStudy) -> None:
    """Write ``report/index.html``: the page, with its style, script, figures and images in it.

    Raises:
        SgtError: a score or a figure is missing, or predictions are not those that were scored.
    """
    scores = Scores(study)
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    parts = {**_page(scores), **_results(scores), **_evidence(scores)}
    page = environment.get_template("report.html.j2").render(**parts, contents=_contents(parts))
    write_text(report_file(study), page)
    for line in ending(scores):
        log.info("%s", line)


def _page(scores: Scores) -> dict[str, Any]:
    """What the page is about, how it looks, and its figures."""
    study, figures = scores.study, _figures(scores.study)
    if "generation" in figures:
        figures["generation"]["caption"] += _explained(scores)
    placed = {*OF_TREATMENT, *OF_GAINS, *OF_PROXIES}
    return {
        "style": (TEMPLATES / "report.css").read_text(encoding="utf-8"),
        "script": (TEMPLATES / "report.js").read_text(encoding="utf-8"),
        "study": study.study,
        "study_file": study.path,
        "study_text": study.path.read_text(encoding="utf-8"),
        "compared": ARM_WITHOUT_PROXY in study.study.arms,
        "trained": trains(study),
        "releases": [f"{name}: {text}" for name, text in _releases(study)],
        "proxies": [_proxy(study, arm) for arm in study.proxy_arms],
        "of_treatment": [figures[name] for name in OF_TREATMENT if name in figures],
        "of_gains": [figures[name] for name in OF_GAINS if name in figures],
        "of_proxies": [figures[name] for name in OF_PROXIES if name in figures],
        "other_figures": [each for name, each in figures.items() if name not in placed],
    }


def _results(scores: Scores) -> dict[str, Any]:
    """What was found and measured."""
    found, protocols = findings(scores), protocol_rows(scores)
    return {
        "badge": badge(scores),
        "answers": answers(scores),
        "key": key_figure(scores),
        "learned": list(summary(scores.study, scores.treatments)),
        "treatment": treatment_pivot(treatment_rows(scores.study, scores.treatments)) if scores.treatments else None,
        "treatment_note": treatment_note(scores),
        "findings": found,
        "meaning": {each: text for each, text in MEANING.items() if each in {finding.verdict for finding in found}},
        "models": model_tables(scores),
        "heat": heat_map(scores),
        "released": _released(scores),
        "paper": _paper(scores),
        "analyses": list(_analyses(scores)),
        "csv": base64.b64encode(gains_csv(scores).encode()).decode(),
        "note": interval_note(scores),
        "chance": _chance(scores),
        "changes": changes(scores),
        "protocols": protocol_pivot(scores.study, protocols) if len(protocols) else None,
        "protocols_note": protocols_note(),
    }


def _evidence(scores: Scores) -> dict[str, Any]:
    """Where the numbers come from, what they cost, and what may be done with them."""
    study, code = scores.study, code_revision()
    return {
        "runs": [_run(study, run) for run in study.runs],
        "benchmarks": _evaluations(scores),
        "environments": environments(scores),
        "costs": costs(study),
        "stages": stage_times(study.results / "benchmarks").to_dict("records"),
        "references": bibtex(names_in(study)),
        "licences": licences(study),
        "obstacles": obstacles(scores, code),
        "code": code,
    }


def _contents(parts: dict[str, Any]) -> list[tuple[str, str]]:
    """Anchors and titles of the parts that the page has."""
    has_changes = parts["changes"].pairs and parts["changes"].counts
    sections = [
        ("answers", "In short", True),
        ("learned", "Task learned?", parts["learned"]),
        ("findings", "Findings", True),
        ("proxies", "Proxies", parts["proxies"]),
        ("setup", "Set-up", True),
        ("released", TITLE, parts["released"]),
        ("results", "Results by model", True),
        ("paper", "The paper's tables", True),
        ("metrics", "Every metric", True),
        ("changes", "What changed", has_changes),
        ("analysis", "Analysis", parts["other_figures"] or parts["analyses"] or parts["protocols"] is not None),
        ("evidence", "Evidence", True),
        ("costs", "Costs", True),
        ("references", "References", True),
        ("licence", "Licence, status", True),
    ]
    return [(anchor, title) for anchor, title, included in sections if included]


def report_file(study: LoadedStudy) -> Path:
    """The report's address."""
    return study.results / "report" / "index.html"


def ending(scores: Scores) -> list[str]:
    """The last lines of a study: whether its arms learned their task, what it found, and where its report is."""
    used = environments(scores)
    warning = [f"warning: the results are of {len(used)} different environments: see Evidence in the report"]
    first = [*(warning if len(used) > 1 else []), *summary(scores.study, scores.treatments)]
    return [*first, *headline(findings(scores)), f"report: {report_file(scores.study)}"]


@dataclass(frozen=True)
class _Table:
    """A table of the page: its anchor, caption and HTML, what stands below, and whether anything of it was run."""

    name: str
    caption: str
    html: str
    notes: Sequence[str]
    is_run: bool = True


def _releases(study: LoadedStudy) -> Iterator[tuple[str, str]]:
    """The models that are released weights, and what these are."""
    for name in study.models:
        if release := release_of(study, name, ARM_WITHOUT_TRAINING):
            yield name, release_in_words(release)


def _released(scores: Scores) -> _Table | None:
    """Released weights beside their bases; None in a study without both."""
    if not compared_releases(scores.study):
        return None
    grid = released_grid(scores)
    return _Table("released-table", grid.caption, html_table(grid), grid.notes)


def _paper(scores: Scores) -> list[_Table]:
    """The paper's tables, of the study's own values."""
    found = []
    for name, table in paper_tables(scores).items():
        grid, is_run = grid_of(scores, table), any(cell for row in table.cells for cell in row)
        found.append(_Table(name, grid.caption, html_table(grid), grid.notes, is_run))
    return found


def _analyses(scores: Scores) -> Iterator[_Table]:
    """The tables behind the figures of analyses."""
    for name, grid in analysis_grids(scores):
        yield _Table(name, grid.caption, html_table(grid), grid.notes)


def _explained(scores: Scores) -> str:
    """What the metrics of made images are, for the caption of their figure."""
    texts = [
        f"{readable(metric.title)}: {text}"
        for name, benchmark in scores.study.benchmarks.items()
        if isinstance(benchmark, ImageBenchmark)
        for metric in scores.metrics(name)
        if (text := explanation(scores, name, metric))
    ]
    return f" {'. '.join(texts)}." if texts else ""


def _proxy(study: LoadedStudy, arm: str) -> dict[str, str]:
    proxy = study.proxy(arm)
    return {"arm": arm, "level": proxy.level, "name": study.proxy_name(arm), "prompt": proxy.prompts[0]}


def _figures(study: LoadedStudy) -> dict[str, dict[str, Any]]:
    figures = {}
    # The sheet of scenes shows those of a benchmark.
    hidden = {"scenes"} if study.sampling_benchmark and not may_be_shown(study.sampling_benchmark) else set()
    for name in [name for name in (*figures_of(study), "proxies") if name not in hidden]:
        path = study.results / "figures" / f"{name}.png"
        if path.exists():
            with Image.open(path) as image:
                # Plots record their resolution; sheets of images, which do not, are shown pixel by pixel.
                width = round(image.width * CSS_DPI / image.info.get("dpi", (CSS_DPI,))[0])
            figures[name] = {"name": name, "caption": CAPTIONS[name], "source": _source(path), "width": width}
        elif name != "proxies":
            raise SgtError(path, "no such figure", f"run `sgt figures {study.path}`")
    return figures


def _source(path: Path) -> str:
    """An address with a figure itself: as SVG, which is sharp at every size, if that is small, else as PNG."""
    vector = path.with_suffix(".svg")
    if vector.exists() and vector.stat().st_size <= max(SMALL_SVG, path.stat().st_size):
        return f"data:image/svg+xml;base64,{base64.b64encode(vector.read_bytes()).decode()}"
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _run(study: LoadedStudy, run: Run) -> dict:
    record = read_run(study, run)
    seconds = record.get("seconds")
    release = release_of(study, run.model, run.arm)
    about = release_in_words(release) if release else "" if run.arm != ARM_WITHOUT_TRAINING else "not post-trained"
    return {**record, "seconds": "" if seconds is None else f"{seconds:.0f}", "about": about}


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
