"""Which figures a study has, by what it compares; and what each shows."""

from sgt.config.benchmarks import ImageBenchmark
from sgt.config.study import ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING
from sgt.study.load import LoadedStudy

CAPTIONS = {
    "gains": "Gain over the control that was trained on the same questions without a proxy, by metric.",
    "generation": "Images made from prompts: every metric by arm.",
    "samples": "What each proxy arm makes of held-out images, beside the target it should make.",
    "scenes": "Images made from captions of held-out images, beside the image that each caption describes.",
    "training": "Losses of every trained run.",
    "proxies": "The proxies: inputs and the targets rendered from them.",
}


def figures_of(study: LoadedStudy) -> list[str]:
    """Names of the figures that ``sgt figures`` makes of a study, in the order of the report."""
    makes_images = [isinstance(benchmark, ImageBenchmark) for benchmark in study.benchmarks.values()]
    has = {
        "gains": not all(makes_images) and bool(compared_arms(study)),
        "generation": any(makes_images),
        "samples": bool(study.proxy_arms),
        "scenes": any(makes_images),
        "training": any(arm != ARM_WITHOUT_TRAINING for arm in study.study.arms),
    }
    return [name for name, included in has.items() if included]


def compared_arms(study: LoadedStudy) -> list[str]:
    """The arms whose gains over the control are plotted: those with a proxy; without any, the base."""
    arms = study.study.arms
    if ARM_WITHOUT_PROXY not in arms:
        return []
    return study.proxy_arms or [arm for arm in arms if arm == ARM_WITHOUT_TRAINING]
