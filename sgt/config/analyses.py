"""Analyses of a study: measurements of the insides of its models, made for every run.

What every analysis has stands here. What can be chosen about one kind alone are the fields of its ``Options``, a
subclass of :class:`AnalysisOptions` in the analysis's own file (``sgt/analysis/analyses``). As with tasks, importing
the package :data:`ANALYSES` enters each kind's ``Options`` in :data:`ANALYSIS_OPTIONS`, where a study looks them up.
"""

from typing import Any, ClassVar

from pydantic import ConfigDict, Field, model_validator

from sgt.config.fields import Count, Name, Strict
from sgt.config.samples import Samples

# The package whose modules are the analyses; it is imported by name when a study has the first one.
ANALYSES = "sgt.analysis.analyses"


class AnalysisOptions(Strict):
    """What every analysis has; an analysis's ``Options`` derive from it.

    Attributes:
        version: raised by whoever changes what the analysis computes.
    """

    version: ClassVar[int] = 1

    analysis: Name = Field(description="file of sgt/analysis/analyses, written with dashes")
    name: Name = Field("", description="of its results; that of the analysis if left out")
    dataset: Name = Field(description="dataset of the study that it reads, held out from training")
    samples: Count | None = Field(None, description="how many samples of it, from the first; all if left out")

    @model_validator(mode="before")
    @classmethod
    def _named_after_its_kind(cls, content: Any) -> Any:
        return {"name": content.get("analysis"), **content} if isinstance(content, dict) else content

    @property
    def identity(self) -> dict[str, Any]:
        """What decides, besides model and data, what the analysis finds, as JSON."""
        return {"version": self.version, **self.model_dump(mode="json", exclude={"name", "dataset"})}

    @property
    def reads(self) -> dict[str, tuple[str, str]]:
        """Other analyses of the study whose findings it reads: kind and name, by the field that gives the name."""
        return {}

    @property
    def asks(self) -> str | None:
        """The benchmark of the study whose questions it asks, if it does."""
        return None

    @property
    def reference(self) -> str | None:
        """The arm that it compares every run with, if it does: it is made for this one, and for every trained arm."""
        return None

    def missing_from(self, dataset: Samples) -> str | None:
        """What the analysis reads of a sample and the samples of a dataset lack; None if they have everything."""
        return None


class AnalysisEntry(Strict):
    """One analysis as a study file has it, before the fields of its own ``Options`` are checked."""

    model_config = ConfigDict(extra="allow")

    analysis: Name = Field(description=AnalysisOptions.model_fields["analysis"].description)
    name: Name | None = Field(None, description=AnalysisOptions.model_fields["name"].description)

    @property
    def file_name(self) -> str:
        """Name of its results."""
        return self.name or self.analysis


# The ``Options`` of each analysis by its name.
ANALYSIS_OPTIONS: dict[str, type[AnalysisOptions]] = {}
