"""What a study needs: memory and time of each model, GPU-hours and disk in all. Estimates, from sizes alone."""

from pathlib import Path

from sgt.config.benchmarks import Benchmark, FetchedBenchmark, FetchedImageBenchmark, ImageBenchmark
from sgt.config.datasets import Download
from sgt.config.downloads import load_download
from sgt.config.samples import Samples, TypicalText
from sgt.config.study import ARM_WITHOUT_TRAINING, EQUAL_COMPUTE
from sgt.errors import SgtError
from sgt.models import estimate
from sgt.models.registry import sizes_of
from sgt.models.rules import rules_of
from sgt.models.sizes import ModelSizes
from sgt.proxies.base import CleanImage, Proxy
from sgt.study.amounts import amount, many
from sgt.study.loaded import LoadedStudy
from sgt.study.runs import Run

SIZES_OF_GPU = (80, 141)
GB = 10**9
# Bytes of a pixel of a target: of labels, of an image that is kept as the JPEG it was, and of any other.
LABELS, KEPT, DRAWN = 0.1, 0.3, 1.0
# Bytes of the answers to the questions about one scene.
ANSWERS = 2000


class Costs:
    """Estimates for a study.

    Args:
        study: whose models are looked at once, since that takes a while.
    """

    def __init__(self, study: LoadedStudy) -> None:
        self.study = study
        self.sizes: dict[str, ModelSizes | None] = {name: sizes_of(spec) for name, spec in study.models.items()}
        self.trained = [run for run in study.runs if run.arm != ARM_WITHOUT_TRAINING]

    def lines(self) -> list[str]:
        """The lines of ``sgt check`` about it."""
        return [line for name in self.study.models for line in self._model(name)] + self._time() + self._disk()

    def _model(self, name: str) -> list[str]:
        """What training a model by its recipe needs: see :mod:`sgt.models.estimate` for what the figures count."""
        spec, sizes, recipe = self.study.models[name], self.sizes[name], self.study.recipe(name)
        if sizes is None:
            return [f"model {name}: no estimate, its file gives no architecture"]
        if not any(run.model == name for run in self.trained):
            return [f"model {name}: {line}" for line in self._evaluated(name, sizes)]
        devices = max(spec.train.gpu, 1) * spec.train.nodes
        samples = estimate.step_samples(recipe)
        tokens = estimate.step_tokens(spec, sizes, samples, self._text)
        share = estimate.share(tokens, devices)
        pack = estimate.pack(share, recipe)
        memory = estimate.memory(sizes, recipe, pack, rules_of(spec.family).largest_sides(spec).target ** 2, devices)
        bytes_of = " + ".join(f"{what} {amount(value)}B" for what, value in vars(memory).items() if value)
        trains = amount(estimate.trainable_values(sizes, recipe))
        flops = estimate.step_flops(sizes, recipe, tokens)
        final, progress = estimate.checkpoint_bytes(sizes), estimate.progress_bytes(sizes, recipe)
        where = many(spec.train.gpu, "GPU") if spec.train.gpu else "the CPU"
        runs = sum(run.model == name for run in self.trained)
        lines = [
            _parameters(sizes),
            f"trains {trains} in {recipe.precision} on {where}, {share.all} of {tokens.all} tokens of a step on each,"
            f" {pack.all} at once",
            f"memory {bytes_of} = {amount(memory.total)}B",
            f"disk {amount(final)}B per finished run, {amount(progress)}B per resumable checkpoint of a run in"
            f" progress; {amount(runs * final)}B when {many(runs, 'run')} are finished",
        ]
        if spec.train.gpu:
            fits = ", ".join(f"{size} GB: {'yes' if memory.fits(size) else 'no'}" for size in SIZES_OF_GPU)
            seconds = flops / devices / estimate.PEAK_FLOPS / estimate.MFU
            lines[2] += f" per GPU; fits {fits}"
            lines.append(
                f"{amount(flops)}FLOP per step; at {estimate.MFU:.0%} of {amount(estimate.PEAK_FLOPS)}FLOP/s per GPU"
                f" {seconds:.2g} s, {recipe.steps * seconds / 3600:.2g} h per run"
            )
        else:
            lines.append(f"{amount(flops)}FLOP per step")
        if EQUAL_COMPUTE in self.study.study.arms:
            alone = self.study.sft_compute_batches[name]
            cost = estimate.step_flops(sizes, recipe, estimate.step_tokens(spec, sizes, (0, alone), self._text))
            lines.append(
                f"{EQUAL_COMPUTE} has {alone} VQA samples per step, sft {samples[1]};"
                f" they take {cost / flops:.2f} times a proxy arm's FLOP"
            )
        return [f"model {name}: {line}" for line in lines]

    def _evaluated(self, name: str, sizes: ModelSizes) -> list[str]:
        """What the weights of a model need that is only evaluated; what requests need depends on these."""
        spec = self.study.models[name]
        weights = estimate.weight_bytes(sizes, spec.precision)
        fits = ", ".join(f"{size} GB: {'yes' if estimate.has_room(size, weights) else 'no'}" for size in SIZES_OF_GPU)
        line = f"not trained; without requests, weights in {spec.precision} take {amount(weights)}B"
        return [_parameters(sizes), f"{line} per GPU; fits {fits}" if spec.predict.gpu else line]

    def _time(self) -> list[str]:
        hours: dict[str, float] = {}
        for run in self.trained:
            if self.study.models[run.model].train.gpu and self.sizes[run.model]:
                hours[run.model] = hours.get(run.model, 0) + self.gpu_hours(run)
        if not hours:
            return []
        each = ", ".join(f"{model} {value:,.0f}" for model, value in hours.items())
        return [f"GPU-hours of training: {sum(hours.values()):,.0f} ({each}); evaluation and rendering not counted"]

    def gpu_hours(self, run: Run) -> float:
        """GPU-hours of training a run, by its arm's own ratio; an arm without a proxy makes no images.

        Raises:
            ValueError: the model's file gives no architecture.
        """
        spec, sizes, recipe = self.study.models[run.model], self.sizes[run.model], self.study.recipe(run.model, run.arm)
        if sizes is None:
            raise ValueError(f"model {run.model}: no estimate, its file gives no architecture")
        tokens = estimate.step_tokens(spec, sizes, self._samples(run), self._text)
        flops = recipe.steps * estimate.step_flops(sizes, recipe, tokens)
        return flops / estimate.PEAK_FLOPS / estimate.MFU / 3600

    def _samples(self, run: Run) -> tuple[int, int]:
        """Proxy and VQA samples of a step of a run."""
        if run.arm == EQUAL_COMPUTE:
            return 0, self.study.sft_compute_batches[run.model]
        proxies, questions = estimate.step_samples(self.study.recipe(run.model, run.arm))
        return (proxies if run.proxy else 0), questions

    @property
    def _text(self) -> TypicalText:
        """Of a sample of questions; of any dataset's, if nothing is trained."""
        questions = self.study.study.data.vqa
        return self.study.study.datasets[questions.dataset].text if questions else Samples.text

    def _disk(self) -> list[str]:
        fetched, unknown = self._fetched()
        kept = {"fetched": fetched, **self.made()}
        sizes = ", ".join(f"{what} {amount(size)}B" for what, size in kept.items() if size)
        lines = [f"disk: {sizes}; {amount(sum(kept.values()))}B when all is made"]
        working = {run.model: self.in_progress(run.model) for run in self.trained}
        if any(working.values()):
            each = ", ".join(f"{amount(size)}B of {model}" for model, size in working.items() if size)
            peak = amount(sum(kept.values()) + max(working.values()))
            lines.append(f"disk: at most {peak}B with one run in progress; each, until it is done, takes {each}")
        if unknown:
            lines.append(f"disk: without {', '.join(unknown)}, whose size is not known")
        return lines

    def made(self) -> dict[str, float]:
        """Bytes of everything that the study makes and keeps, by kind."""
        study = self.study
        proxies = {study.proxy_name(arm): study.proxy(arm) for arm in study.proxy_arms}
        rendered = study.rendered_shards.items()
        datasets = [study.study.datasets[name] for name in study.used_datasets]
        return {
            "datasets": sum(dataset.count * dataset.sample_bytes for dataset in datasets),
            "targets": sum(self._targets(images, proxies[name], shards) for (images, name), shards in rendered),
            "finished runs": sum(self._final(run) for run in self.trained + study.transplant_runs),
            "predictions": sum(self._predictions(run) for run in study.evaluated_runs),
        }

    def in_progress(self, model: str) -> int:
        """Bytes of resumable checkpoints of a run that trains: those that are kept, and one that is being written."""
        sizes, recipe = self.sizes[model], self.study.recipe(model)
        there = min(recipe.keep_last + 1, -(-recipe.steps // recipe.save_every))
        return 0 if sizes is None else there * estimate.progress_bytes(sizes, recipe)

    def _fetched(self) -> tuple[float, list[str]]:
        """Bytes of what is fetched, and the downloads whose size is not known."""
        study = self.study
        used = [study.study.datasets[name] for name in study.used_datasets]
        paths: list[Path | str] = [model.checkpoint for model in study.models.values()]
        paths += [model.overlay for model in study.models.values() if model.overlay]
        paths += study.fetched_models
        folders = {dataset.download for dataset in used if isinstance(dataset, Download)}
        folders |= {Path(path).name for path in paths if study.is_fetched(path)}
        folders |= {name for benchmark in study.benchmarks.values() for name in benchmark.data_downloads}
        sizes = {name: _gigabytes(name) for name in sorted(folders)}
        return GB * sum(size or 0 for size in sizes.values()), [name for name, size in sizes.items() if size is None]

    def _targets(self, images: str, proxy: Proxy, shards: int) -> float:
        dataset = self.study.study.datasets[images]
        a_pixel = LABELS if proxy.label_like else KEPT if isinstance(proxy, CleanImage) else DRAWN
        return dataset.count * shards / dataset.shards * dataset.sample_pixels * a_pixel

    def _final(self, run: Run) -> int:
        sizes = self.sizes[run.model]
        return 0 if sizes is None else estimate.checkpoint_bytes(sizes)

    def _predictions(self, run: Run) -> float:
        study = self.study
        total, spec = 0.0, study.models[run.model]
        for benchmark in study.benchmarks.values():
            count = benchmark.samples or _samples(study, benchmark)
            if isinstance(benchmark, ImageBenchmark):
                dataset = study.study.datasets[benchmark.dataset] if benchmark.dataset else None
                side = rules_of(spec.family).target_side(spec, benchmark.image_side(dataset))
                total += count * side**2 * DRAWN
            else:
                total += count * ANSWERS
        if run in study.proxy_runs and study.held_out:
            dataset = study.study.datasets[study.held_out]
            side = rules_of(spec.family).target_side(spec, round(dataset.sample_pixels**0.5))
            # What is made, and beside it the input and the true target at their own size.
            total += study.study.data.held_out_samples * (side**2 + 2 * dataset.sample_pixels) * DRAWN
        return total


def _parameters(sizes: ModelSizes) -> str:
    parts = ", ".join(f"{part} {amount(count)}" for part, count in sizes.parameters.items())
    return f"{amount(sum(sizes.parameters.values()))} parameters ({parts})"


def _samples(study: LoadedStudy, benchmark: Benchmark) -> int:
    if isinstance(benchmark, FetchedBenchmark):
        return benchmark.published_rows
    if isinstance(benchmark, FetchedImageBenchmark):
        return benchmark.published_images
    return study.study.datasets[str(benchmark.dataset)].count


def _gigabytes(name: str) -> float | None:
    try:
        return load_download(name).gigabytes
    except SgtError:  # it was copied there by hand
        return None
