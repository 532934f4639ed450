"""Edits of a scene: an instruction, and the scene after it. Pretraining draws what is shown and changes it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from sgt.data.toyworld.raytrace import trace
from sgt.data.toyworld.sampling import is_visible, place
from sgt.data.toyworld.scene import Scene, Thing
from sgt.data.toyworld.view import is_near_border, observe
from sgt.data.toyworld.vocabulary import COLOURS

_ATTEMPTS = 4


@dataclass(frozen=True)
class Edit:
    """An edit of a scene.

    Attributes:
        kind: ``recolour``, ``remove`` or ``move``.
        instruction: what to do, in the vocabulary.
        scene: after the edit.
    """

    kind: str
    instruction: str
    scene: Scene


def draw_edit(scene: Scene, size: int, rng: random.Random) -> Edit:
    """An edit of one thing of a scene, of a kind that is drawn; it is recoloured where no other place for it is found.

    Args:
        scene: with at least two things.
        size: image side at which a thing that is moved must be visible, pixels.
        rng: source of all choices.
    """
    kind = rng.choice(tuple(KINDS))
    thing = rng.choice(scene.things)
    return KINDS[kind](scene, thing, size, rng) or _recolour(scene, thing, size, rng)


def _recolour(scene: Scene, thing: Thing, size: int, rng: random.Random) -> Edit:
    taken = {other.colour for other in scene.things if other.shape == thing.shape}
    colour = rng.choice([colour for colour in COLOURS if colour not in taken])
    after = _replaced(scene, thing, (replace(thing, colour=colour),))
    return Edit("recolour", f"make the {thing.name} {colour}", after)


def _remove(scene: Scene, thing: Thing, size: int, rng: random.Random) -> Edit:
    return Edit("remove", f"remove the {thing.name}", _replaced(scene, thing, ()))


def _move(scene: Scene, thing: Thing, size: int, rng: random.Random) -> Edit | None:
    """None if no place is found in another part of the image where everything is visible."""
    number = scene.things.index(thing)
    others = scene.things[:number] + scene.things[number + 1 :]
    before = observe(scene, trace(scene, size).labels)[number]
    for _ in range(_ATTEMPTS):
        moved = place(rng, scene.camera, thing, others)
        if moved is None:
            continue
        after = _replaced(scene, thing, (moved,))
        hits = trace(after, size)
        if not is_visible(hits, size):
            continue
        seen = observe(after, hits.labels)[number]
        clear = not (is_near_border(seen.u) or is_near_border(seen.v))
        if clear and (seen.column, seen.row) != (before.column, before.row):
            return Edit("move", f"move the {thing.name} to {seen.column} {seen.row}", after)
    return None


def _replaced(scene: Scene, thing: Thing, by: tuple[Thing, ...]) -> Scene:
    number = scene.things.index(thing)
    return replace(scene, things=scene.things[:number] + by + scene.things[number + 1 :])


KINDS: dict[str, Callable[[Scene, Thing, int, random.Random], Edit | None]] = {
    "recolour": _recolour,
    "remove": _remove,
    "move": _move,
}
