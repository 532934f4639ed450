"""Which tables and figures a study has, by what it compares; and what each figure shows."""

from sgt.config.benchmarks import FetchedBenchmark, ImageBenchmark
from sgt.config.study import ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING
from sgt.study.load import LoadedStudy

CAPTIONS = {
    "treatment": "Did the arms learn their task? Left, use: how much what an arm draws depends on the image it is "
    "shown, with the least that counts as administered. Right, fidelity to the true target, from the floor (0: the "
    "target of another image) to the ceiling (1: the true target through the VAE). Hollow: not administered.",
    "samples": "What each proxy arm makes of held-out images, beside the target it should make, with the arm's use. "
    "Colours without a meaning of their own, as of instances, are permuted to fit the target's.",
    "gains": "Gain over the control that was trained on the same questions without a proxy, by metric. Hollow: not "
    "administered.",
    "outcomes": "Difference from the control, by metric and arm. Coloured where the 95% interval excludes zero: blue "
    "is better, red worse. Hatched: not administered.",
    "generation": "Images made from prompts: every metric by arm. Hollow: not administered.",
    "scenes": "Images made from captions of held-out images, beside the image that each caption describes.",
    "training": "Losses of every trained run of the first seed, averaged over 20 steps.",
    "proxies": "The proxies: inputs and the targets rendered from them.",
}


def figures_of(study: LoadedStudy) -> list[str]:
    """Names of the figures that ``sgt figures`` makes of a study, in the order of the report."""
    makes_images = [isinstance(benchmark, ImageBenchmark) for benchmark in study.benchmarks.values()]
    has = {
        "treatment": bool(study.proxy_arms),
        "samples": bool(study.proxy_arms),
        "gains": not all(makes_images) and bool(compared_arms(study)),
        "outcomes": bool(compared_arms(study)),
        "generation": any(makes_images),
        "scenes": any(makes_images),
        "training": any(arm != ARM_WITHOUT_TRAINING for arm in study.study.arms),
    }
    return [name for name, included in has.items() if included]


def table_files(study: LoadedStudy) -> list[str]:
    """Names of the files that ``sgt tables`` writes of a study."""
    fetched = any(isinstance(benchmark, FetchedBenchmark) for benchmark in study.benchmarks.values())
    names = ["main", "all", *(["treatment"] if study.proxy_arms else []), *(["protocols"] if fetched else [])]
    files = [f"{name}.{kind}" for name in names for kind in ("csv", "md", "tex")]
    return [*files, *(["outcomes.csv"] if compared_arms(study) else []), "metrics.json", "gains.csv"]


def compared_arms(study: LoadedStudy) -> list[str]:
    """The arms that are compared with the control: all other trained ones; without any, the base."""
    arms = study.study.arms
    if ARM_WITHOUT_PROXY not in arms:
        return []
    trained = [arm for arm in arms if arm not in (ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING)]
    return trained or [arm for arm in arms if arm == ARM_WITHOUT_TRAINING]
