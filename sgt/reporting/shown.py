"""Which figures a study has, by what it compares; and what each shows."""

from sgt.config.benchmarks import GenerationProtocol, QuestionProtocol
from sgt.config.study import ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING
from sgt.study.load import LoadedStudy

CAPTIONS = {
    "gains": "Gain in accuracy over the control that saw the same questions and no proxy, by kind of question.",
    "generation": "Scenes made from captions: share of the things a caption names that were read off the image.",
    "samples": "What each proxy arm makes of held-out scenes, beside the target it should make.",
    "scenes": "Scenes made from captions of held-out scenes, with the scene that each caption describes.",
    "training": "Losses of every trained run.",
    "proxies": "The proxies: inputs and the targets rendered from them.",
}


def figures_of(study: LoadedStudy) -> list[str]:
    """Names of the figures that ``sgt figures`` makes of a study, in the order of the report."""
    protocols = [spec.protocol for spec in study.benchmarks.values()]
    generates = any(isinstance(protocol, GenerationProtocol) for protocol in protocols)
    asks = any(isinstance(protocol, QuestionProtocol) for protocol in protocols)
    has = {
        "gains": asks and bool(compared_arms(study)),
        "generation": generates,
        "samples": generates and bool(study.proxy_arms),
        "scenes": generates,
        "training": any(arm != ARM_WITHOUT_TRAINING for arm in study.study.arms),
    }
    return [name for name, there in has.items() if there]


def compared_arms(study: LoadedStudy) -> list[str]:
    """The arms whose gains over the control are shown: those with a proxy; without any, the base."""
    arms = study.study.arms
    if ARM_WITHOUT_PROXY not in arms:
        return []
    return study.proxy_arms or [arm for arm in arms if arm == ARM_WITHOUT_TRAINING]
