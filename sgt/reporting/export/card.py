"""The model card of an exported run: ``README.md`` with the tags that the hub reads."""

from dataclasses import fields
from pathlib import Path

import jinja2
from huggingface_hub import EvalResult, ModelCardData

from sgt.config.study import ARM_WITHOUT_TRAINING, NO_PROXY
from sgt.evaluation.predict import sampling_of
from sgt.evaluation.treatment import Treatment
from sgt.identity import read_record
from sgt.models.interface import Sampling
from sgt.models.rules import rules_of
from sgt.reporting.export.layout import LICENCES
from sgt.reporting.export.measured import Measured
from sgt.reporting.export.origins import BASE, MEASURED_ON, OWN, Origin, licence_of
from sgt.reporting.export.status import run_status, status_of
from sgt.reporting.references import bibtex
from sgt.reporting.scores import interval
from sgt.study.loaded import LoadedStudy
from sgt.study.record import read_run
from sgt.study.runs import Run

LIBRARY = "sgt"
# What the hub calls a model that reads and makes both texts and images, and three things that it does.
PIPELINE = "any-to-any"
TASKS = ("image-text-to-text", "text-to-image", "image-to-image")


def release_name(run: Run) -> str:
    """A name for the exported model."""
    return f"{run.model}-{run.arm}-seed{run.seed}"


def card(
    study: LoadedStudy,
    run: Run,
    origins: list[Origin],
    results: list[Measured],
    treatment: Treatment | None,
    files: list[tuple[str, str]],
) -> str:
    """The text of the card.

    Args:
        study, run: what is exported.
        origins: what it was made from and measured on.
        results: what was measured of it.
        treatment: whether it learned its proxy; None for a run without one.
        files: path and SHA-256 of every file of weights.
    """
    record = read_run(study, run)
    return template("card.md.j2").render(
        tags=card_data(study, run, origins, results, treatment).to_yaml(),
        name=release_name(run),
        study=study,
        run=run,
        level=study.proxy(run.arm).level if run.proxy else None,
        trained=run.arm != ARM_WITHOUT_TRAINING,
        record=record,
        recipe=None if run.arm == ARM_WITHOUT_TRAINING else study.recipe(run.model, run.arm),
        snippet=snippet(study, run),
        origins=origins,
        licence=licence_of(origins),
        licences=LICENCES,
        results=[each.texts() for each in results],
        treatment=treatment,
        interval=interval,
        status=run_status(study, run, treatment),
        limits=limits(study, run, origins),
        files=files,
        commands=commands(study, run),
        bibtex=bibtex({study.models[run.model].family, *(origin.name for origin in origins)}),
    )


def template(name: str) -> jinja2.Template:
    """A template of Markdown or Python, whose control lines leave no trace."""
    loader = jinja2.FileSystemLoader(Path(__file__).parents[1] / "templates")
    environment = jinja2.Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)


def licences_text(origins: list[Origin]) -> str:
    """What is known of the licences, for weights that have none of their own."""
    return template("licences.md.j2").render(origins=origins)


def card_data(
    study: LoadedStudy, run: Run, origins: list[Origin], results: list[Measured], treatment: Treatment | None
) -> ModelCardData:
    """The tags of the card."""
    licence = licence_of(origins)
    bases = [origin.repository for origin in origins if origin.use == BASE and origin.repository]
    datasets = {origin.repository for origin in origins if origin.kind == "dataset" and origin.use != MEASURED_ON}
    arm = [] if run.arm in NO_PROXY else [study.proxy_name(run.arm), f"{study.proxy(run.arm).level}-level-proxy"]
    return ModelCardData(
        language="en",
        license=licence or "other",
        license_name=None if licence else "see-license-md",
        license_link=None if licence else LICENCES,
        library_name=LIBRARY,
        pipeline_tag=PIPELINE,
        base_model=bases or None,
        base_model_relation="finetune" if bases else None,
        datasets=sorted(filter(None, datasets)) or None,
        metrics=sorted({each.metric.column for each in results}) or None,
        tags=[*TASKS, "semantic-generative-tuning", run.arm, *arm, status_of(study, run, treatment)],
        model_name=release_name(run),
        eval_results=[_result(study, each, origins) for each in results] or None,
    )


def _result(study: LoadedStudy, result: Measured, origins: list[Origin]) -> EvalResult:
    benchmark = result.benchmark
    repositories = {origin.name: origin.repository for origin in origins if origin.use == MEASURED_ON}
    data = next(iter(benchmark.data_downloads), None)
    about: dict[str, float] = {"n": result.n}
    if result.has_interval:
        about = {"low": round(result.low, 6), "high": round(result.high, 6), "level": 0.95, **about}
    return EvalResult(
        task_type=result.task,
        dataset_type=(data and repositories.get(data)) or data or OWN,
        dataset_name=benchmark.name,
        dataset_config=f"{benchmark.protocol}-v{benchmark.version}",
        metric_type=result.metric.name,
        metric_name=result.metric.title,
        metric_value=round(result.value, 6),
        metric_args=about,
    )


def snippet(study: LoadedStudy, run: Run) -> str:
    """Python that loads the model from the folder of the card, asks it a question and has it draw."""
    rules, spec = rules_of(study.models[run.model].family), study.models[run.model]
    sides = rules.largest_sides(spec)
    side = rules.target_side(spec, sides.target)
    prompt = study.proxy(run.arm).prompts[0] if run.proxy else None
    return template("snippet.py.j2").render(
        side=sides.input, target=side, prompt=prompt, sampling=_written(sampling_of(study.target_sampling))
    )


def _written(sampling: Sampling) -> str:
    """A sampling as Python, without what is the default."""
    given = {each.name: getattr(sampling, each.name) for each in fields(sampling)}
    default = Sampling()
    changed = [f"{name}={value!r}" for name, value in given.items() if value != getattr(default, name)]
    return f"Sampling({', '.join(changed)})"


def limits(study: LoadedStudy, run: Run, origins: list[Origin]) -> list[str]:
    """What the model is not, a sentence each."""
    found = [
        "It is one run of a study of what a visual task teaches a model, not a product: nothing was done for safety, "
        "and nothing was measured beyond the benchmarks above."
    ]
    spec = study.models[run.model]
    if spec.pretrain:
        side = rules_of(spec.family).largest_sides(spec).input
        found.append(
            f"It was pretrained on synthetic scenes of {side} pixels alone: it knows no photograph and few words."
        )
    if run.proxy:
        name, degraded = study.proxy_name(run.arm), " from degraded images" if study.proxy(run.arm).degrades else ""
        found.append(
            f"Post-training had it draw targets of {name} alone{degraded}: images from prompts may have suffered."
        )
    if not licence_of(origins):
        found.append("The licences of what it was made from are not all permissive: read them before you pass it on.")
    return found


def commands(study: LoadedStudy, run: Run) -> list[str]:
    """What makes the run and its scores again, in order, after the study's data and base weights are there."""
    found = [read_run(study, run)["command"]]
    if run.proxy:
        found.append(read_record(study.treatment_file(run))["command"])
    for name in study.benchmarks:
        found += read_record(study.score_file(run, name))["commands"]
    return found
