"""Which tables and figures a study has, by what it compares; and what each figure shows."""

from sgt.config.benchmarks import FetchedBenchmark, ImageBenchmark
from sgt.config.study import ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING
from sgt.reporting.paper.curves import ratio_places, scale_places
from sgt.study.loaded import LoadedStudy
from sgt.study.releases import compared_releases

# Of every figure: one that everything can show, and vector formats for papers.
FIGURE_FORMATS = (".png", ".svg", ".pdf")
# The paper's tables, of a study's own values.
PAPER_TABLES = ("paper-main", "paper-proxies", "paper-dimensions", "paper-geneval", "paper-ratio", "paper-scale")
CAPTIONS = {
    "treatment": "Did the arms learn their task? Left, use: how much what an arm draws depends on the image it is "
    "shown, with the least that counts as administered. Right, fidelity to the true target, from the floor (0: the "
    "target of another image) to the ceiling (1: the true target through the VAE). Hollow: not administered.",
    "samples": "What each proxy arm makes of held-out images, beside the target it should make, with the arm's use. "
    "Colours without a meaning of their own, as of instances, are permuted to fit the target's.",
    "gains": "Gain over the control that was trained on the same questions without a proxy, by metric. Hollow: not "
    "administered.",
    "dimensions": "Gain over the control by dimension of understanding, with 95% intervals, and beside it the radar "
    "that the paper draws, whose thick ring is no gain. Hollow: not administered. The paper states nowhere which "
    "benchmarks are behind its dimensions, so its own values are not drawn.",
    "ratio": "Gain over the control by the ratio of the proxy's samples to questions, with its 95% interval as a band. "
    "At 0 lies the control.",
    "scale": "Gain over the control by the number of the proxy's images, at equal steps, with its 95% interval as a "
    "band. At 0 lies the control.",
    "protocols": "The same replies by the rules of every harness: how far each lies from the study's own protocol.",
    "outcomes": "Difference from the control, by metric and arm. Coloured where the 95% interval excludes zero: blue "
    "is better, red worse. Hatched: not administered.",
    "generation": "Images made from prompts: every metric by arm. Hollow: not administered.",
    "scenes": "Images made from captions of held-out images, beside the image that each caption describes.",
    "probes": "What linear probes read off each layer of the vision encoder (v), the connector (c), the decoder (d) "
    "and what a diffusion transformer is conditioned on (t): of objects, from the mean over their mask, class, colour, "
    "size, place and depth; of images, from the mean over all of them, which classes there are and how many objects. "
    "Grey: from the lowest to the highest of the arms' controls, the same probes with shuffled labels.",
    "embeddings": "Two classes that look alike, in two dimensions: t-SNE of the features of their objects in the last "
    "layer of each part of the model, with the accuracy of the linear probe that tells them apart and its 95% "
    "interval. Distances between clusters and their sizes have no meaning in such a picture; the probe's number has.",
    "attention": "What changed in how attention is shared out, with 95% intervals: from the words of questions to the "
    "image, layer by layer, in the weights that the model used and in the form that the released code computes (its "
    "queries lack norms, bias and rotation, and no mask is causal); and, while drawing, how the attention of latents "
    "to keywords is divided among objects, colours, positions and others. Hollow: not administered.",
    "ablations": "Does a gain go with the layers in which attention to the image moved? Squares: the gain over the "
    "control. Coloured points: how much smaller it is when what text reads from the image is replaced by its mean in "
    "these layers, in the arm and in the control alike. Grey: the same for as many other layers, drawn at random. "
    "Intervals are 95%, over the same questions.",
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
        "dimensions": not all(makes_images) and bool(compared_arms(study)) and bool(study.proxy_arms),
        "ratio": bool(compared_arms(study)) and bool(ratio_places(study)),
        "scale": bool(compared_arms(study)) and bool(scale_places(study)),
        "outcomes": bool(compared_arms(study)),
        "generation": any(makes_images),
        # The scenes of a dataset; prompts that are fetched have none.
        "scenes": study.sampling_benchmark is not None,
        "probes": bool(analyses_of(study, "probe")),
        "embeddings": bool(embedding_analyses(study)),
        "protocols": any(isinstance(benchmark, FetchedBenchmark) for benchmark in study.benchmarks.values()),
        "attention": bool(analyses_of(study, "attend")) and len(study.study.arms) > 1,
        "ablations": bool(analyses_of(study, "ablate")),
        "training": any(arm != ARM_WITHOUT_TRAINING for arm in study.study.arms),
    }
    return [name for name, included in has.items() if included]


def figure_files(study: LoadedStudy) -> list[str]:
    """Names of the files that ``sgt figures`` writes of a study."""
    return [f"{name}{suffix}" for name in figures_of(study) for suffix in FIGURE_FORMATS]


def table_files(study: LoadedStudy) -> list[str]:
    """Names of the files that ``sgt tables`` writes of a study."""
    fetched = any(isinstance(benchmark, FetchedBenchmark) for benchmark in study.benchmarks.values())
    names = ["main", "all", *(["treatment"] if study.proxy_arms else []), *(["protocols"] if fetched else [])]
    names += ["released"] if compared_releases(study) else []
    files = [f"{name}.{kind}" for name in names for kind in ("csv", "md", "tex")]
    files += [f"{name}.{kind}" for name in PAPER_TABLES for kind in ("csv", "md", "tex", "html")]
    more = {
        "overlap.csv": fetched,
        "outcomes.csv": bool(compared_arms(study)),
        "probes.csv": bool(analyses_of(study, "probe")),
        "embeddings.csv": bool(embedding_analyses(study)),
        "attention.csv": bool(analyses_of(study, "attend")),
        "ablations.csv": bool(analyses_of(study, "ablate")),
        "transplants.csv": bool(study.study.transplants),
    }
    return [*files, *(name for name, included in more.items() if included), "metrics.json", "gains.csv"]


def analyses_of(study: LoadedStudy, kind: str) -> list[str]:
    """Names of a study's analyses of one kind."""
    return [name for name, options in study.analyses.items() if options.analysis == kind]


def embedding_analyses(study: LoadedStudy) -> list[str]:
    """Names of a study's probes that embed a pair of classes."""
    return [name for name in analyses_of(study, "probe") if getattr(study.analyses[name], "pair", None)]


def compared_arms(study: LoadedStudy) -> list[str]:
    """The arms that are compared with the control: all other trained ones; without any, the base."""
    arms = study.study.arms
    if ARM_WITHOUT_PROXY not in arms:
        return []
    trained = [arm for arm in arms if arm not in (ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING)]
    return trained or [arm for arm in arms if arm == ARM_WITHOUT_TRAINING]
