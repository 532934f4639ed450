"""Mean ablation: does a gain go with the layers in which attention to the image moved?"""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sgt.analysis.analysis import Analysis
from sgt.config.analyses import AnalysisOptions
from sgt.config.fields import Count, Name, Seed
from sgt.config.samples import Samples
from sgt.config.study import ARM_WITHOUT_PROXY

if TYPE_CHECKING:
    from sgt.data.dataset import ShardDataset
    from sgt.models.unified import UnifiedModel
    from sgt.study.loaded import LoadedStudy
    from sgt.study.runs import Run


class MeanAblations(Analysis):
    """Answers to a benchmark's questions with what text reads from images replaced by its mean, in some layers.

    The layers of an arm are those in which its attention to the image differs most from the control's, and sets of as
    many others. They are ablated in the arm's runs and in the control's.
    """

    class Options(AnalysisOptions):
        """Which layers are ablated, and which questions are asked. ``dataset`` is the reference set of the means."""

        version = 2

        analysis: Literal["ablate"]
        attention: Name = Field("attend", description="analysis of the study that found where attention moved")
        measure: Literal["question_to_vision", "answer_to_vision"] = Field(
            "question_to_vision", description="the share of attention that moved"
        )
        benchmark: Name = Field(description="benchmark of the study whose questions are asked")
        benchmark_samples: Count | None = Field(
            None,
            description="samples of it, of a published one of each part its share; as many as the benchmark uses if "
            "left out",
        )
        layers: Count = Field(1, description="how many layers are ablated together; at most half of them")
        draws: Count = Field(3, description="sets of other layers")
        seed: Seed = Field(0, description="of the draw of these sets")

        @property
        def reads(self) -> dict[str, tuple[str, str]]:
            """See :attr:`AnalysisOptions.reads`."""
            return {"attention": ("attend", self.attention)}

        @property
        def asks(self) -> str:
            """See :attr:`AnalysisOptions.asks`."""
            return self.benchmark

        @property
        def reference(self) -> str:
            """See :attr:`AnalysisOptions.reference`."""
            return ARM_WITHOUT_PROXY

        def missing_from(self, dataset: Samples) -> str | None:
            """See :meth:`AnalysisOptions.missing_from`."""
            return None if dataset.texts & {"questions", "conversations"} else "questions or conversations"

    options: Options
    name = "ablate"

    def prepare(self, study: "LoadedStudy", run: "Run") -> None:
        """See :meth:`Analysis.prepare`."""
        from sgt.analysis.layer_sets import layer_sets
        from sgt.evaluation.tasks import make_task

        options = self.options
        self._sets = {
            arm: layer_sets(
                study,
                run.model,
                arm,
                options.reference,
                options.attention,
                options.measure,
                options.layers,
                draws=options.draws,
                seed=options.seed,
            )
            for arm in study.compared_arms(options)
            if run.arm in (arm, options.reference)
        }
        benchmark, self._spec = study.benchmarks[options.benchmark], study.models[run.model]
        limits = [limit for limit in (options.benchmark_samples, benchmark.samples) if limit is not None]
        self._task = make_task(benchmark.model_copy(update={"samples": min(limits, default=None)}))
        self._samples = self._task.samples(study.rows_dirs(benchmark))

    def measure(self, model: "UnifiedModel", dataset: "ShardDataset") -> dict[str, Any]:
        """See :meth:`Analysis.measure` and :mod:`sgt.analysis.ablation_record`."""
        from sgt.analysis.ablation import asked_under_ablation, mean_reads
        from sgt.analysis.ablation_record import record_of
        from sgt.evaluation.predict import replier

        sets = dict.fromkeys(layers for each in self._sets.values() for layers in (each.moved, *each.others))
        reads, asked = mean_reads(model, dataset, sorted({layer for layers in sets for layer in layers}))
        reply = replier(model, self._spec, self._task)
        tables = asked_under_ablation(model, self._task, self._samples, reply, reads, list(sets))
        return {
            "reference": {"questions": asked, "tokens": reads.counts},
            "sets": {arm: {"moved": each.moved, "others": each.others} for arm, each in self._sets.items()},
            **record_of(tables),
        }
