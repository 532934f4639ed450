"""Applies a recipe to a model: which parts are trained, adapters, activation checkpointing, weights in the loss."""

from sgt.config.recipe import Recipe
from sgt.errors import SgtError
from sgt.models.lora import add_lora
from sgt.models.trainable import Trainable


def make_trainable(model: Trainable, recipe: Recipe, seed: int, makes_images: bool = True) -> None:
    """Freeze what the recipe does not train, add its adapters, and set the options of the loss.

    A frozen parameter has no gradient, no optimizer state, and the same bits afterwards.

    Args:
        model: changed in place.
        recipe: its ``trains``, ``lora``, ``activation_checkpointing``, ``compile``, ``length_weighted`` and
            ``time_sampling``.
        seed: of the adapters' initial weights.
        makes_images: whether the arm has target images; if not, the generation part has no gradient and is frozen.

    Raises:
        SgtError: nothing would be trained.
    """
    idle = () if makes_images else ("generation",)
    if recipe.lora:
        parts = [part for part in recipe.lora.parts if part not in idle]
        rank, alpha = recipe.lora.rank, recipe.lora.alpha
        add_lora(model.network, lambda name: model.part(name) in parts, rank, alpha, seed)
    else:
        for name, parameter in model.network.named_parameters():
            part = model.part(name)
            parameter.requires_grad_(parameter.requires_grad and part in recipe.trains and part not in idle)
    if not any(parameter.requires_grad for parameter in model.network.parameters()):
        raise SgtError("recipe", "trains nothing in an arm without target images", "train another part too")
    model.activation_checkpointing(recipe.activation_checkpointing)
    if recipe.compile:
        model.compile()
    model.length_weighted, model.time_sampling = recipe.length_weighted, recipe.time_sampling
