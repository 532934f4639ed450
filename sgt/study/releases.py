"""The rows of a study that are weights which others post-trained and released: they are evaluated, and not trained."""

from sgt.config.models import Release
from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.study.loaded import LoadedStudy

# In place of the name of the arm ``base``, which such weights are not.
LABEL = "released"


def release_of(study: LoadedStudy, model: str, arm: str) -> Release | None:
    """What an arm's weights are, if others post-trained them; None if they are a base's, or trained by the study."""
    spec = study.models.get(model)
    return spec.released if spec and arm == ARM_WITHOUT_TRAINING else None


def arm_label(study: LoadedStudy, model: str, arm: str) -> str:
    """An arm's name for readers."""
    return LABEL if release_of(study, model, arm) else arm


def release_in_words(release: Release) -> str:
    """What released weights are."""
    return f"released weights, which their authors post-trained from {release.base} on {release.arm}"


def compared_releases(study: LoadedStudy) -> list[tuple[str, str]]:
    """The models whose released weights are evaluated beside those of their base, and these bases."""
    if ARM_WITHOUT_TRAINING not in study.study.arms:
        return []
    found = ((name, spec.released.base) for name, spec in study.models.items() if spec.released)
    return [(name, base) for name, base in found if base in study.models]


def trains(study: LoadedStudy) -> bool:
    """Whether the study trains anything."""
    return any(arm != ARM_WITHOUT_TRAINING for arm in study.study.arms)
