"""States and attention of an OmniGen2: of its language model, or of its diffusion transformer."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from sgt.models import flow
from sgt.models.capture import Captured, Capturer, NoisyTarget, Selection
from sgt.models.decoding import seeded
from sgt.models.interface import Request
from sgt.models.loaded import inference
from sgt.models.omnigen2.base import OmniGen2Base, refuse_system_text
from sgt.models.omnigen2.language import hidden_states
from sgt.models.omnigen2.names import NamedParts, answering, generating, named_chat
from sgt.models.omnigen2.rows import Chat, collate
from sgt.models.recorder import EagerAttention, Recorder, recording
from sgt.models.vision_reads import VisionReads

if TYPE_CHECKING:
    from transformers import Qwen2_5_VLTextModel

EAGER = "sgt-eager"


class OmniGen2Capture(OmniGen2Base, Capturer):
    """See :class:`sgt.models.capture.Capturer`."""

    def _captured_layers(self, generating: bool) -> int:
        """See :meth:`Capturer._captured_layers`."""
        return len(self.network.transformer.layers if generating else self.network.mllm.model.language_model.layers)

    def _capture(self, requests: Sequence[Request], selection: Selection, target: NoisyTarget | None) -> list[Captured]:
        """See :meth:`Capturer.capture`."""
        recorder = Recorder(selection, len(requests), self.device)
        if target is not None:
            self._predict_velocity(requests, recorder, target)
            return recorder.captured()
        chats = self._named_chats([answering(request) for request in requests], requests, recorder)
        tails = [[f"{name}.tail" for name in names[-4:-2]] for _, names in chats]
        recorder.begin(
            [[*names[:-4], *tail, names[-2], "answer"] for (_, names), tail in zip(chats, tails, strict=True)]
        )
        with recording_language_model(recorder, self.network.mllm.model.language_model):
            hidden_states(self.network.mllm, collate([chat for chat, _ in chats]).to(self.device))
        return recorder.captured()

    @inference
    def capture_conditioning(self, images: Sequence[Image.Image]) -> list[list[Tensor]]:
        """See :meth:`Capturer.capture_conditioning`: the transformer's caption embedder, then each context refiner."""
        named = [named_chat(self.chats, generating(Request((image,))), [image]) for image in images]
        features, lengths = self.network.features(collate([chat for chat, _ in named]).to(self.device))
        transformer, steps = self.network.transformer, list[Tensor]()
        read = [transformer.time_caption_embed.caption_embedder, *transformer.context_refiner]
        handles = [each.register_forward_hook(lambda module, given, output: steps.append(output)) for each in read]
        try:
            transformer.read_text(features, lengths)
        finally:
            for handle in handles:
                handle.remove()
        of_image = [torch.tensor([name == "image.0" for name in names]) for _, names in named]
        by_step = [step.float().cpu().split(lengths) for step in steps]
        return [[step[place][inside] for step in by_step] for place, inside in enumerate(of_image)]

    @contextmanager
    def reading_vision(self, reads: VisionReads) -> Iterator[None]:
        """See :meth:`Capturer.reading_vision`."""
        attentions = {index: partial(reads.attention, index) for index in reads.layers}
        with eager_language_model(attentions, self.network.mllm.model.language_model):
            yield

    def _named_chats(
        self, parts: Sequence[NamedParts], requests: Sequence[Request], recorder: Recorder
    ) -> list[tuple[Chat, list[str]]]:
        find, found = recorder.selection.keywords, []
        for row, (part, request) in enumerate(zip(parts, requests, strict=True)):
            chat, names = named_chat(self.chats, part, request.images, find)
            recorder.grids[row] += [image.tokens for image in chat.images]
            found.append((chat, names))
        return found

    def _predict_velocity(self, requests: Sequence[Request], recorder: Recorder, target: NoisyTarget) -> None:
        """One pass of the diffusion transformer."""
        for request in requests:
            refuse_system_text(request)
        chats = self._named_chats([generating(request) for request in requests], requests, recorder)
        features, lengths = self.network.features(collate([chat for chat, _ in chats]).to(self.device))
        transformer, cut = self.network.transformer, self.network.config.transformer.patch_size
        noisy = self._noisy(requests, target)
        counts = [latent[0].numel() // cut**2 for latent in noisy]
        recorder.begin([[*names, *["target"] * count] for (_, names), count in zip(chats, counts, strict=True)])
        text = transformer.read_text(features, lengths)
        when = torch.full((len(noisy),), 1 - target.time, device=self.device)
        layers = {layer: transformer.layers[layer] for layer in recorder.selection.layers}
        with recording(recorder, layers, "attn"):
            transformer(text, lengths, noisy, when)

    def _noisy(self, requests: Sequence[Request], target: NoisyTarget) -> list[Tensor]:
        """Noisy latents (z, h, w) of the targets."""
        pixels = [self.vae_transform(image).to(self.device) for image in target.images]
        shapes = [self._latent_shape(*image.shape[1:]) for image in pixels]
        about = list(zip(shapes, requests, target.seeds, strict=True))
        draws = [torch.randn(shape, generator=seeded(seed, f"target\n{r.text}")) for shape, r, seed in about]
        noise = [torch.randn(shape, generator=seeded(seed, r.text)).to(self.device) for shape, r, seed in about]
        clean = self._encode(pixels, [draw.to(self.device) for draw in draws])
        time = torch.tensor(target.time)
        return [flow.interpolate(latent, start, time) for latent, start in zip(clean, noise, strict=True)]


@contextmanager
def recording_language_model(recorder: Recorder, model: "Qwen2_5_VLTextModel") -> Iterator[None]:
    """Record layers of the language model."""
    handles, recorded = [], {index: model.layers[index] for index in recorder.selection.layers}

    def keep(index: int, layer: nn.Module, given: tuple, output: Tensor) -> None:
        recorder.record_states(index, output)
        if recorder.selection.released:
            attention = layer.get_submodule("self_attn")
            query = F.linear(output, attention.get_parameter("q_proj.weight"))
            recorder.record_released(index, query.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2))

    try:
        for index, layer in recorded.items():
            handles.append(layer.register_forward_hook(partial(keep, index)))
        with eager_language_model({index: recorder.attention_of(index) for index in recorded}, model):
            yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def eager_language_model(attentions: Mapping[int, EagerAttention], model: "Qwen2_5_VLTextModel") -> Iterator[None]:
    """Compute the attention of some layers differently; transformers chooses it by the model's configuration."""
    modules = {index: vars(model.layers[index].get_submodule("self_attn")) for index in attentions}
    before = model.config._attn_implementation
    try:
        for index, attention in attentions.items():
            modules[index]["eager"] = attention
        model.config._attn_implementation = EAGER
        yield
    finally:
        for module in modules.values():
            module.pop("eager", None)
        model.config._attn_implementation = before


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, **options: Any
) -> tuple[Tensor, None]:
    """Attention as transformers calls it: another one in layers that have it."""
    eager = getattr(module, "eager", None)
    if eager is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    out = eager(query, key, value, attention_mask, options.get("kinds"))
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(EAGER, _attention)
