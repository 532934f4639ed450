"""The libraries that are not always installed, and the error where one is missing."""

from sgt.errors import SgtError

# Top-level module -> optional dependency of pyproject.toml that installs it.
EXTRAS = {
    "gradio": "app",
    "dvc": "workflow",
    "dvc_data": "workflow",
    "snakemake_interface_logger_plugins": "workflow",
    "sklearn": "analysis",
    "jinja2": "report",
    "pandas": "report",
    "rocrate": "crate",
    "tensorboard": "dashboards",
    "wandb": "dashboards",
}
# Top-level module -> target of the Makefile that makes an environment with it, in build/TARGET. What these libraries
# depend on excludes versions that an extra needs.
SEPARATE = {"lmms_eval": "lmms-eval"}
# Extra -> the command that makes its environment, of those whose libraries cannot be installed beside the locked ones.
OWN_ENVIRONMENT = {"app": "make app"}


def missing_extra(error: ModuleNotFoundError) -> SgtError | None:
    """The error to show instead of a failed import; None if the missing module is none of these."""
    library = (error.name or "").partition(".")[0]
    if library in SEPARATE:
        target = SEPARATE[library]
        remedy = f"it has an environment of its own: run `make {target}`, then this with build/{target}/bin/sgt"
        return SgtError(library, "is not installed", remedy)
    extra = EXTRAS.get(library)
    if extra is None:
        return None
    if extra in OWN_ENVIRONMENT:
        return SgtError(library, "is not installed", f"run `{OWN_ENVIRONMENT[extra]}`, which installs it apart")
    remedy = f"install the extra {extra} (`pip install -e '.[{extra}]'` in sgt's folder), or run `make environment`"
    return SgtError(library, "is not installed", remedy)
