"""What an analysis is: a measurement of the insides of one run's model, on one dataset."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from sgt.config.analyses import AnalysisOptions

# torch takes seconds to import, and every start of Snakemake loads this module.
if TYPE_CHECKING:
    from sgt.data.dataset import ShardDataset
    from sgt.models.unified import UnifiedModel
    from sgt.study.loaded import LoadedStudy
    from sgt.study.runs import Run


class Analysis(ABC):
    """One kind of analysis.

    Attributes:
        name: its file's, written with dashes; also the command that makes it.
        Options: its fields in a study.
    """

    name: ClassVar[str]
    Options: ClassVar[type[AnalysisOptions]]

    def __init__(self, options: AnalysisOptions) -> None:
        self.options = options

    def prepare(self, study: "LoadedStudy", run: "Run") -> None:  # noqa: B027 - most need nothing
        """Look up what :meth:`measure` takes from elsewhere in the study: by default nothing.

        It is called once, before the model is loaded. What an analysis reads is named by its ``Options`` (``reads``,
        ``asks``), is there by then, and is part of the identity.

        Raises:
            SgtError: what it finds there is such that nothing can be measured.
        """

    @abstractmethod
    def measure(self, model: "UnifiedModel", dataset: "ShardDataset") -> dict[str, Any]:
        """What the analysis finds in a model, as JSON. Nothing of it depends on anything but model, data and options.

        Comparisons between runs are made where results are reported: keep what they need, by item.

        Args:
            model: in evaluation mode.
            dataset: the samples to use, in order.

        Raises:
            SgtError: the data or the model are such that nothing can be found.
        """
