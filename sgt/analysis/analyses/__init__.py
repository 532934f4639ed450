"""Every analysis by its name. An analysis is found by its file in this folder: a class that derives from ``Analysis``.

Importing this package lets studies name them: see :mod:`sgt.config.analyses`. Every start of Snakemake does so if the
study has an analysis, so these files import torch and scikit-learn only inside functions.
"""

from sgt.analysis.analysis import Analysis
from sgt.config.analyses import ANALYSIS_OPTIONS, AnalysisOptions
from sgt.plugins import plugins_in

KINDS: dict[str, type[Analysis]] = {}


def find_analyses() -> None:
    """Enter the analyses of every file in :data:`KINDS`, and their options where studies look them up."""
    for kind in plugins_in(__name__, __path__, Analysis):
        KINDS[kind.name], ANALYSIS_OPTIONS[kind.name] = kind, kind.Options


def make_analysis(options: AnalysisOptions) -> Analysis:
    """The analysis that a study's entry describes."""
    return KINDS[options.analysis](options)


find_analyses()
