"""Linear probes of every layer of the vision encoder, the connector and the decoder."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from sgt.analysis.analysis import Analysis
from sgt.config.analyses import AnalysisOptions
from sgt.config.datasets import Toyworld
from sgt.config.fields import Count, Seed
from sgt.config.samples import Samples

if TYPE_CHECKING:
    from sgt.data.dataset import ShardDataset
    from sgt.models.unified import UnifiedModel


class LinearProbes(Analysis):
    """How well class, colour, size, place, depth, number and existence of objects can be read off each layer."""

    class Options(AnalysisOptions):
        """Which layers are probed, the control, and a pair of classes."""

        version = 2

        analysis: Literal["probe"]
        every: Count = Field(
            1, description="probe the last layer of the vision encoder and of the decoder, and every so many-th before"
        )
        shuffles: Count = Field(1, description="orders of shuffled labels that the control is the mean of")
        seed: Seed = Field(0, description="of these orders, and of the embedding")
        pair: Annotated[list[str], Field(min_length=2, max_length=2)] | None = Field(
            None, description="two classes that look alike, to tell apart and to embed in two dimensions"
        )

        def missing_from(self, dataset: Samples) -> str | None:
            """Annotations that name classes, unless the dataset has some."""
            return None if dataset.classes or isinstance(dataset, Toyworld) else "annotations that name classes"

    options: Options
    name = "probe"

    def measure(self, model: "UnifiedModel", dataset: "ShardDataset") -> dict[str, Any]:
        """See :meth:`Analysis.measure` and :func:`sgt.analysis.probes.probe_layers`."""
        # Imported here: scikit-learn belongs to an extra, and torch takes seconds.
        from sgt.analysis.features import pooled_features
        from sgt.analysis.probes import probe_layers

        features = pooled_features(model, dataset, self.options.every)
        return probe_layers(features, self.options.shuffles, self.options.seed, self.options.pair)
