"""How good a segmenter, estimator of depth or painter a model is: what it draws for a proxy's prompt, and the target.

Every arm is asked, so that what a proxy teaches stands beside what the model could do before. Images and annotations
are those of a dataset of the study, such as COCO's.
"""

import base64
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from PIL import Image
from pydantic import model_validator

from sgt.config.benchmarks import ImageBenchmark
from sgt.config.datasets import Toyworld
from sgt.config.fields import Count
from sgt.config.samples import Samples
from sgt.data.images import encode_png, image_of
from sgt.data.shards import Sample
from sgt.evaluation.metrics import Metric
from sgt.evaluation.statistics import linearised
from sgt.evaluation.task import Parsed, Row, Task
from sgt.proxies import PROXIES
from sgt.proxies.base import Proxy
from sgt.proxies.fidelity import Measure
from sgt.proxies.registry import options_type
from sgt.proxies.render import encode_target, target_of

_SUM = "sum of "
_KNOWN = "has "


class ProxyFidelity(Task[Image.Image]):
    """The measures of the proxy, over all images that it has a target of."""

    class Options(ImageBenchmark):
        """Which proxy, and how images are sampled."""

        task: Literal["proxy-fidelity"]
        protocol: Literal["official"] = "official"
        proxy: options_type()  # type: ignore[valid-type]  # the union of what the proxies' own files declare
        side: Count = 1024

        @model_validator(mode="after")
        def _known_without_a_model(self) -> "ProxyFidelity.Options":
            if folders := _proxy(self.proxy).downloads:
                raise ValueError(f"proxy: its targets are estimates of {folders[0]}: a benchmark needs annotations")
            return self

        def item_texts(self, record: dict, where: str) -> list[str]:
            """The prompt."""
            return [_proxy(self.proxy).prompts[0]]

        def image_side(self, dataset: Samples | None) -> int:
            """As large as scenes are; of photographs ``side``, the longest that is reckoned with."""
            return dataset.size if isinstance(dataset, Toyworld) else self.side

    options: Options
    name = "proxy-fidelity"

    def __init__(self, options: ImageBenchmark) -> None:
        super().__init__(options)
        self._proxy = _proxy(self.options.proxy)

    def rows(self, samples: Iterable[Sample]) -> Iterator[Row]:
        """A row per sample that the proxy has a target of."""
        for sample in samples:
            if self._proxy.applies_to(sample):
                yield self._row(sample)

    def _row(self, sample: Sample) -> Row:
        # The first prompt, and one degradation for each image: the same for every model, arm and seed.
        whole, target = image_of(sample), target_of(self._proxy, sample)
        given = self._proxy.condition(whole, np.random.default_rng([self.options.sampling.seed, *sample.key.encode()]))
        stored = {"target": encode_target(target)}
        if self._proxy.degrades:
            stored["given"] = encode_png(given)
        if (measured := self._proxy.measured(sample, whole.size)) is not None:
            stored["measured"] = encode_png(measured)
        return Row(
            id=re.sub(r"[^A-Za-z0-9_-]", "_", sample.key),
            question=self._proxy.prompts[0],
            kind="image",
            images=[given],
            groups={"image": sample.key},
            extra={name: base64.b64encode(content).decode() for name, content in stored.items()},
            size=target.size,
        )

    def parse(self, row: Row, reply: Image.Image, protocol: str) -> Parsed:
        """The image itself."""
        return Parsed(reply.convert("RGB"), "direct")

    def score(self, row: Row, parsed: Parsed) -> dict[str, float]:
        """The proxy's measures of one image, whether it has each, and what it adds to the sums of all images."""
        made = parsed.value
        resampling = Image.Resampling.NEAREST if self._proxy.label_like else Image.Resampling.BICUBIC
        target = _stored(row, "target").convert("RGB").resize(made.size, resampling)
        given = _stored(row, "given") if self._proxy.degrades else target
        measures = self._proxy.fidelity(made, target, given.convert("RGB").resize(made.size, Image.Resampling.BICUBIC))
        measured = _stored(row, "measured") if "measured" in row.extra else None
        values: dict[str, float] = {}
        for measure, value in measures.items():
            values |= {
                measure.name: 0.0 if np.isnan(value) else value,
                _KNOWN + measure.name: float(not np.isnan(value)),
            }
        return values | {_SUM + name: value for name, value in self._proxy.sums(made, target, measured).items()}

    def joint_columns(self, rows: Sequence[Row], items: Mapping[str, Sequence[Any]]) -> Mapping[str, list]:
        """Values of each image whose mean is a measure of all images."""
        sums = {name.removeprefix(_SUM): values for name, values in items.items() if name.startswith(_SUM)}
        if not sums:
            return {}
        measures = self._proxy.dataset_fidelity({name: float(sum(values)) for name, values in sums.items()})

        def values(measure: Measure) -> list:
            if np.isnan(measures[measure]):
                return [None] * len(rows)
            return [*linearised(sums, lambda changed: self._proxy.dataset_fidelity(changed)[measure])]

        return {measure.name: values(measure) for measure in measures}

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """Measures of all images first, if the proxy has them, then means over images."""
        grey = Image.new("RGB", (8, 8))
        of_images = list(self._proxy.fidelity(grey, grey, grey))
        of_all = list(self._proxy.dataset_fidelity(self._proxy.sums(grey, grey, None)))
        return [
            *(_metric(measure, measure.name, None, place == 0) for place, measure in enumerate(of_all)),
            *(
                _metric(measure, measure.name, _KNOWN + measure.name, not of_all and place == 0)
                for place, measure in enumerate(of_images)
            ),
        ]

    @property
    def evaluator(self) -> dict[str, Any]:
        """The proxy, by all that decides its targets."""
        return {"name": f"measures of {self._proxy.name}", "proxy": self._proxy.identity}


def _metric(measure: Measure, column: str, over: str | None, headline: bool) -> Metric:
    return Metric(
        name=f"fidelity/{measure.name}",
        title=measure.name,
        column=column,
        over=over,
        cluster="image",
        unit=measure.unit or measure.name,
        range=measure.range if over else (None, None),
        higher_is_better=measure.higher_is_better,
        headline=headline,
    )


def _proxy(options: Any) -> Proxy:
    return type(PROXIES[options.task])(options)


def _stored(row: Row, name: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(row.extra[name])))
