"""What of a model a recipe trains: parts, adapters, how activations are kept, and how answers are weighed."""

from sgt.models.base import UnifiedModel
from sgt.models.lora import add_lora
from sgt.study.recipe import Recipe


def make_trainable(model: UnifiedModel, recipe: Recipe, seed: int) -> None:
    """Freeze what the recipe does not train, add its adapters, and set how the loss is worked out.

    A frozen parameter has no gradient, no optimizer state, and the same bits afterwards.

    Args:
        model: changed in place.
        recipe: its ``trains``, ``lora``, ``recompute``, ``compile`` and ``length_weighted``.
        seed: of initial adapters.
    """
    if recipe.lora:
        parts, rank, alpha = recipe.lora.parts, recipe.lora.rank, recipe.lora.alpha
        add_lora(model.network, lambda name: model.part(name) in parts, rank, alpha, seed)
    else:
        for name, parameter in model.network.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and model.part(name) in recipe.trains)
    model.recompute(recipe.recompute)
    if recipe.compile:
        model.compile()
    model.length_weighted = recipe.length_weighted
