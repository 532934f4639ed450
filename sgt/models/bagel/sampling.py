"""Sampling images from contexts (``bagel.md`` 6)."""

from collections.abc import Callable

from torch import Tensor

from sgt.models import flow
from sgt.models.bagel.context import Context
from sgt.models.bagel.rules import constant_shift
from sgt.models.interface import Sampling

StepCallback = Callable[[int, Tensor, Tensor], None]


def guide(v: Tensor, v_text: Tensor | None, v_image: Tensor | None, sampling: Sampling, images: int) -> Tensor:
    """Combine the velocities of the three contexts.

    Args:
        v: (tokens, numbers), with everything; images of equal size, one after another.
        v_text: without the last text. v_image: without the images. None switches a branch off.
        sampling: scales and renormalisation.
        images: how many images the tokens belong to; ``global`` norms are per image.
    """
    if v_text is None:
        return v

    def rescaled(guided: Tensor, whole_image: bool) -> Tensor:
        rows = (images, -1) if whole_image else (len(v), -1)
        ratio = v.reshape(rows).norm(dim=1) / (guided.reshape(rows).norm(dim=1) + 1e-8)
        scale = ratio.clamp(sampling.renorm_min, 1.0)
        return guided * scale.repeat_interleave(len(v) // len(scale))[:, None]

    guided = v_text + sampling.cfg_text_scale * (v - v_text)
    if sampling.renorm == "text_channel":
        guided = rescaled(guided, whole_image=False)
    if v_image is not None:
        guided = v_image + sampling.cfg_image_scale * (guided - v_image)
    if sampling.renorm != "text_channel":
        guided = rescaled(guided, whole_image=sampling.renorm == "global")
    return guided


def sample_latents(
    full: Context,
    text_free: Context,
    image_free: Context,
    noise: Tensor,
    shape: tuple[int, int],
    sampling: Sampling,
    on_step: StepCallback | None = None,
) -> Tensor:
    """Integrate from noise to latents, all guidance branches as one batch.

    Args:
        full, text_free, image_free: contexts with as many rows as there are images.
        noise: (images · h · w, numbers per token).
        shape: (h, w) of every image, in tokens.
        sampling: of the sampler.
        on_step: called with (step, x, velocity) before each Euler step.

    Returns:
        Latent tokens, the shape of ``noise``.
    """
    images = full.rows
    branches = [full]
    if sampling.cfg_text_scale > 1:
        branches.append(text_free)
        if sampling.cfg_image_scale > 1:
            branches.append(image_free)
    guided_context = Context.stack(branches) if len(branches) > 1 else full
    times = flow.sampling_times(sampling.num_steps, constant_shift(sampling.shift))
    low, high = sampling.cfg_interval
    x = noise
    for step, (t, after) in enumerate(zip(times[:-1].tolist(), times[1:].tolist(), strict=True)):
        if low < t <= high and len(branches) > 1:
            parts = guided_context.velocity(x.repeat(len(branches), 1), t, [shape] * images * len(branches))
            v, v_text, *v_image = parts.chunk(len(branches))
            v = guide(v, v_text, v_image[0] if v_image else None, sampling, images)
        else:
            v = full.velocity(x, t, [shape] * images)
        if on_step:
            on_step(step, x, v)
        x = x - v * (t - after)
    return x
