"""Semantic Generative Tuning: what a visual task teaches a unified multimodal model.

What is named here is the public Python API, described in ``docs/python-api.md``. It stays as it is between versions of
the same major number; what leaves it is deprecated first, with an entry in the changelog. Everything else is internal.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sgt.app.interactive import InteractiveModel, InteractiveRun, RatedOption
    from sgt.app.open import load_model, load_run, load_study
    from sgt.app.results import StudyResults
    from sgt.app.targets import render_target
    from sgt.errors import SgtError

__version__ = "0.1.0"
__all__ = [
    "InteractiveModel",
    "InteractiveRun",
    "RatedOption",
    "SgtError",
    "StudyResults",
    "__version__",
    "load_model",
    "load_run",
    "load_study",
    "render_target",
]

# Where each name is. They are imported when they are first used: torch and pandas take seconds.
_MODULES = {
    "InteractiveModel": "sgt.app.interactive",
    "InteractiveRun": "sgt.app.interactive",
    "RatedOption": "sgt.app.interactive",
    "SgtError": "sgt.errors",
    "StudyResults": "sgt.app.results",
    "load_model": "sgt.app.open",
    "load_run": "sgt.app.open",
    "load_study": "sgt.app.open",
    "render_target": "sgt.app.targets",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
