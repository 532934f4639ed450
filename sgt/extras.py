"""The libraries that only an optional dependency of ``pyproject.toml`` installs, and the error where one is missing."""

from sgt.errors import SgtError

# Top-level module -> extra.
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
# Extra -> the command that makes its environment, of those whose libraries cannot be installed beside the locked ones.
OWN_ENVIRONMENT = {"app": "make app"}


def missing_extra(error: ModuleNotFoundError) -> SgtError | None:
    """The error to show instead of a failed import; None if the missing module belongs to no extra."""
    library = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(library)
    if extra is None:
        return None
    if extra in OWN_ENVIRONMENT:
        return SgtError(library, "is not installed", f"run `{OWN_ENVIRONMENT[extra]}`, which installs it apart")
    remedy = f"install the extra {extra} (`pip install -e '.[{extra}]'` in sgt's folder), or run `make environment`"
    return SgtError(library, "is not installed", remedy)
