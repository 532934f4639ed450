"""A Transfusion: its losses, answers, images and states."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from sgt.models.transfusion.network import TransfusionNetwork, part_of
from sgt.models.transfusion.packing import SPECIAL, Pack
from sgt.models.transfusion.rules import Scale, TransfusionConfig, config_of
from torch import Tensor

from sgt.atomic import save_tensors, write_json
from sgt.models import flow
from sgt.models.capture import Captured
from sgt.models.configs import read_config_file
from sgt.models.decoding import generate_tokens, likelihoods, seeded
from sgt.models.examples import Example, InputImage, QAPair, TargetImage, Text
from sgt.models.interface import Request
from sgt.models.keywords import KeywordFinder, token_names
from sgt.models.lora import merge_lora
from sgt.models.recorder import Recorder, recording
from sgt.models.solvers import SOLVERS
from sgt.models.tokenizer import load_tokenizer, token_id, without_special, write_tokenizer
from sgt.models.trainable import LossSums
from sgt.models.transforms import ImageTransform, from_patches, patches, to_images
from sgt.models.unified import UnifiedModel
from sgt.models.vae import VAE
from sgt.models.weights import load_weights, weight_files


@dataclass(frozen=True)
class Batch:
    """Packed examples; per target its pixels, time, and noise of the VAE and of the flow (z, H, W)."""

    pack: Pack
    weights: Tensor
    targets: list[Tensor]
    times: list[float]
    noise: list[tuple[Tensor, Tensor]]

    @property
    def tokens(self) -> int:
        return len(self.pack.positions)

    @property
    def ce_tokens(self) -> float:
        return float(self.weights.sum())

    @property
    def mse_tokens(self) -> int:
        return len(self.pack.at["target"])


class Rows:
    """See :class:`sgt.models.decoding.Reader`. Nothing is cached: each call runs the whole rows."""

    def __init__(self, model: "Transfusion", requests: Sequence[Request]) -> None:
        self.model, self.requests, self.rows = model, requests, len(requests)
        self.device, self.limit = model.device, model.network.config.positions
        self.added: list[list[int]] = [[] for _ in requests]
        pack = self._pack()
        pack.check()
        self.position = torch.tensor(pack.lengths, device=self.device)

    def read(self, ids: Sequence[Sequence[int]]) -> Tensor:
        self.added = [[*before, *more] for before, more in zip(self.added, ids, strict=True)]
        self.position = self.position + torch.tensor([len(more) for more in ids], device=self.device)
        pack = self._pack()
        rows = self.model.run(pack).split(pack.lengths)
        last = [row[len(row) - len(more) :] for row, more in zip(rows, ids, strict=True)]
        return self.model.network.head(torch.cat(last))

    def _pack(self) -> Pack:
        ends = [lambda pack, ids=ids: pack.tokens(ids, ["text"] * len(ids)) for ids in self.added]
        return self.model.pack(self.requests, ends)


class Transfusion(UnifiedModel[Batch]):
    network: TransfusionNetwork

    def __init__(self, network, vae, tokenizer, images) -> None:
        self.network, self.vae, self.tokenizer = network, vae, tokenizer
        self.plain_tokenizer = without_special(tokenizer)
        self.markers = [token_id(tokenizer, token) for token in SPECIAL]
        self.input_transform, self.target_transform = map(transform_of, (images.input_image, images.target_image))

    @classmethod
    def without_weights(cls, folder, images):
        return cls(*empty_networks(read_config(folder)), load_tokenizer(folder), images)

    @classmethod
    def from_checkpoint(cls, folder, images, dtype=torch.float32, device="cpu", overlay=None):
        model, over = cls.without_weights(folder, images), weight_files(overlay, "model") if overlay else []
        load_weights(model.network, weight_files(folder, "model"), dtype, device, over)
        load_weights(model.vae, weight_files(folder, "vae"), torch.float32, device)
        model.vae.requires_grad_(False).eval()
        return model

    def save_checkpoint(self, folder, weights=None) -> None:
        merged = merge_lora(self.network, {**self.network.state_dict(), **(weights or {})})
        save(folder, self.network.config, merged, self.vae, self.tokenizer)

    def part(self, name):
        return part_of(name)

    @property
    def blocks(self):
        return list(self.network.layers)

    def activation_checkpointing(self, on) -> None:
        self.network.activation_checkpointing = on

    def tokens(self, example) -> int:
        return len(self._packed([example], pixels=False).positions)

    def check(self, example) -> int:
        pack = self._packed([example], pixels=False)
        pack.check()
        return len(pack.positions)

    def batch(self, examples, seeds, strata=None) -> Batch:
        pack = self._packed(examples)
        pack.check()
        batch = Batch(pack, torch.tensor(pack.weights), [], [], [])
        if not self.length_weighted:
            batch.weights.fill_(1)
        found = [(i, part.image) for i, parts in enumerate(examples) for part in parts if isinstance(part, TargetImage)]
        draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        for order, (place, image) in enumerate(found):
            stratum = strata[place] if strata else (order, len(found))
            batch.targets.append(self.target_transform(image))
            batch.times.append(flow.draw_time(self.time_sampling, draws[place], stratum))
            batch.noise.append(tuple(self._noise(batch.targets[-1].shape[1:], draws[place]) for _ in range(2)))
        return batch

    def loss(self, batch, timestep_shift) -> LossSums:
        ce, mse = self._errors(batch, timestep_shift)
        return LossSums((ce * batch.weights.to(self.device)).sum(), mse.sum())

    @torch.no_grad()
    def velocity_errors(self, examples, seeds, time) -> Tensor:
        batch = self.batch(examples, seeds)
        _, errors = self._errors(replace(batch, times=[time] * len(batch.times)), 1.0)
        tokens = [noise[1][0].numel() // 4 for noise in batch.noise]
        return torch.stack([each.mean() for each in errors.split(tokens)]).cpu()

    def _errors(self, batch, timestep_shift) -> tuple[Tensor, Tensor]:
        """Cross-entropy of each supervised token, and squared velocity error of each token of a target."""
        clean = [self._latents(pixels, noise) for pixels, (noise, _) in zip(batch.targets, batch.noise, strict=True)]
        noise = [patches(noise, 2).to(self.device) for _, noise in batch.noise]
        times = [
            flow.shift_time(torch.full(tokens.shape[:1], t), flow.shift_factor(timestep_shift, len(tokens))).to(tokens)
            for tokens, t in zip(clean, batch.times, strict=True)
        ]
        none = torch.zeros(0, self.network.latent.in_features, device=self.device)
        data, noise, t = torch.cat([none, *clean]), torch.cat([none, *noise]), torch.cat([none[:, 0], *times])
        with self.arithmetic():
            hidden = self.network(batch.pack, flow.interpolate(data, noise, t[:, None]), t)
            logits = self.network.head(hidden[self._index(batch.pack.at["label"])])
            predicted = self.network.latent_out(hidden[self._index(batch.pack.at["target"])])
        ce = F.cross_entropy(logits.float(), self._index(batch.pack.labels), reduction="none")
        mse = (predicted.float() - flow.velocity(data, noise)).square().mean(1)
        return ce, mse

    def run(self, pack: Pack, latents: Tensor | None = None, time: float = 0.0) -> Tensor:
        """Hidden states of a pack, with latents (L, numbers) of its targets, all at one time."""
        if latents is None:
            latents = torch.zeros(0, self.network.latent.in_features, device=self.device)
        return self.network(pack, latents, torch.full((len(latents),), time, device=self.device))

    def pack(
        self,
        requests: Sequence[Request],
        ends: Sequence[Callable[[Pack], None]],
        find: KeywordFinder | None = None,
    ) -> Pack:
        """Requests, each with what one of ``ends`` appends."""
        pack = Pack(self.network.config, self.markers)
        for request, end in zip(requests, ends, strict=True):
            pack.sample()
            if request.system:
                ids = self.ids(request.system)
                pack.words(ids, ["system"] * len(ids))
            counts = {str: 0, Image.Image: 0}
            for part in request.content:
                kind = str if isinstance(part, str) else Image.Image
                if kind is str:
                    encoded = self.plain_tokenizer.encode(part, add_special_tokens=False)
                    ends_of = [end for _, end in encoded.offsets]
                    pack.words(encoded.ids, token_names(f"text.{counts[kind]}", part, ends_of, find))
                else:
                    pixels = self.input_transform(part)
                    pack.image("image", pixels.shape[1:], pixels, f"image.{counts[kind]}")
                counts[kind] += 1
            end(pack)
        return pack

    def ids(self, text: str) -> list[int]:
        return self.plain_tokenizer.encode(text, add_special_tokens=False).ids

    def _packed(self, examples: Sequence[Example], pixels: bool = True) -> Pack:
        pack = Pack(self.network.config, self.markers)
        for example in examples:
            pack.sample()
            for part in example:
                match part:
                    case InputImage(image):
                        size = self.input_transform.size(*image.size)[::-1]
                        pack.image("image", size, self.input_transform(image) if pixels else None)
                    case Text(text, supervised):
                        pack.words(self.ids(text), supervised=supervised)
                    case QAPair(question, answer):
                        pack.answered(self.ids(question), self.ids(answer))
                    case TargetImage(image):
                        pack.image("target", self.target_transform.size(*image.size)[::-1])
        return pack

    def _index(self, values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self.device)

    def _noise(self, size: Sequence[int], draw: torch.Generator) -> Tensor:
        vae = self.network.config.vae
        return torch.randn(vae.z_channels, *(side // vae.downsample for side in size), generator=draw)

    @torch.no_grad()
    def _latents(self, pixels: Tensor, noise: Tensor) -> Tensor:
        """Latent tokens of an image (3, H, W)."""
        return patches(self.vae.encode(pixels[None].to(self.device), noise[None].to(self.device))[0], 2)

    def _answer(self, requests, decoding):
        draws = [seeded(decoding.seed, request.text) for request in requests]
        found = generate_tokens(Rows(self, requests), *self.markers[:2], decoding, draws)
        return [each.reply(self.tokenizer) for each in found]

    def _loglikelihood(self, requests, continuations):
        rows = [request for request, texts in zip(requests, continuations, strict=True) for _ in texts]
        texts = [self.ids(text) for some in continuations for text in some]
        found = iter(likelihoods(Rows(self, rows), *self.markers[:2], texts))
        return [[next(found) for _ in some] for some in continuations]

    def _generate(self, requests, sampling, seeds, size, edit):
        def velocity(pack: Pack, t: float) -> Tensor:
            return self.network.latent_out(self.run(pack, x, t)[self._index(pack.at["target"])]).float()

        draws = [seeded(seed, request.text) for request, seed in zip(requests, seeds, strict=True)]
        noise = [patches(self._noise(size, draw), 2) for draw in draws]
        x, ends = torch.cat(noise).to(self.device), [lambda pack: pack.image("target", size)] * len(requests)
        full, free = self.pack(requests, ends), self.pack([Request(request.images) for request in requests], ends)
        full.check()
        low, high = sampling.cfg_interval
        solver, shift = SOLVERS[sampling.solver](), flow.shift_factor(sampling.shift, len(noise[0]))
        times = flow.sampling_times(sampling.num_steps, shift).tolist()
        for t, after in pairwise(times):
            v = velocity(full, t)
            if sampling.cfg_text_scale > 1 and low < t <= high:
                without = velocity(free, t)
                v = without + sampling.cfg_text_scale * (v - without)
            x = solver.step(x, v, t, after)
        shape = [side // self.network.config.latent_stride for side in size]
        latents = [from_patches(part, shape, 2) for part in x.chunk(len(requests))]
        return to_images(self.vae.decode(torch.stack(latents)))

    def _captured_layers(self, generating) -> int:
        return self.network.config.layers

    def _capture(self, requests, selection, target) -> list[Captured]:
        x, time, ends = None, 0.0, [lambda pack: pack.tokens([pack.bos], ["answer"])] * len(requests)
        if target:
            time, noisy, ends = target.time, [], []
            for request, image, seed in zip(requests, target.images, target.seeds, strict=True):
                pixels, draw = self.target_transform(image), seeded(seed, f"target\n{request.text}")
                size = pixels.shape[1:]
                clean = self._latents(pixels, self._noise(size, draw))
                noise = patches(self._noise(size, seeded(seed, request.text)), 2).to(self.device)
                noisy.append(flow.interpolate(clean, noise, torch.tensor(time)))
                ends.append(lambda pack, size=size: pack.image("target", size, name="target"))
            x = torch.cat(noisy)
        pack = self.pack(requests, ends, selection.keywords)
        pack.check()
        recorder = Recorder(selection, len(requests), self.device)
        recorder.begin(pack.names)
        with recording(recorder, {layer: self.network.layers[layer] for layer in selection.layers}, "attention"):
            self.run(pack, x, time)
        return recorder.captured()


def transform_of(scale: Scale) -> ImageTransform:
    return ImageTransform(scale.max_side, scale.image_stride, scale.image_stride)


def read_config(folder: Path) -> TransfusionConfig:
    return config_of(read_config_file(Path(folder) / "config.json"))


def empty_networks(config: TransfusionConfig) -> tuple[TransfusionNetwork, VAE]:
    with torch.device("meta"):
        return TransfusionNetwork(config), VAE(config.vae)


def save(folder: Path, config: TransfusionConfig, weights: dict[str, Tensor], vae: VAE, tokenizer) -> None:
    """Write a checkpoint into an existing folder: weights in bf16, the VAE in fp32."""
    write_json(folder / "config.json", asdict(config))
    half = {name: value.detach().to("cpu", torch.bfloat16).contiguous() for name, value in weights.items()}
    save_tensors(folder / "model.safetensors", half)
    save_tensors(folder / "vae.safetensors", {name: value.contiguous() for name, value in vae.state_dict().items()})
    write_tokenizer(tokenizer, folder)
