"""How fast a training step is: tokens per second, share of the device's arithmetic (MFU), peak memory.

On the CPU the same step is also done by the plain reference (``bagel_reference.py``), on the same samples and weights,
and the ratio is printed. Run from the repository root, for example::

    python -m perf.train_step --model bagel-tiny --tokens 3800
    python -m perf.train_step --model bagel-7b --tokens 16384 --precision bf16 --activation-checkpointing
    python -m perf.train_step --model bagel-7b --tokens 16384 --precision bf16 --activation-checkpointing --lora 64
"""

import argparse
import platform
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from perf import bagel_reference
from perf.random_bagel import (
    SPECIAL,
    architecture_of,
    pack,
    random_networks,
    random_samples,
    spec_of,
    tokens_of,
)
from sgt.config.recipe import Optimizer
from sgt.models.bagel.items import Item, PackedBatch
from sgt.models.bagel.layers import compile_layer
from sgt.models.bagel.network import BagelNetwork
from sgt.models.bagel.sizes import bagel_sizes, part_of
from sgt.models.lora import add_lora
from sgt.models.registry import DTYPES
from sgt.models.sizes import forward_flops
from sgt.models.vae import VAE
from sgt.training.optimizer import make_adamw

# Dense bf16 operations per second, by what the device's name contains.
PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}


def main(words: Sequence[str] | None = None) -> None:
    """Print one line per implementation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="bagel-tiny", help="name of a file in config/models")
    parser.add_argument("--tokens", type=int, default=3800, help="tokens of the pack, at least")
    parser.add_argument("--precision", choices=list(DTYPES), default="fp32")
    parser.add_argument(
        "--activation-checkpointing", action="store_true", help="recompute activations in the backward pass"
    )
    parser.add_argument("--compile", action="store_true", help="fuse each layer's small operations")
    parser.add_argument("--lora", type=int, default=0, help="train adapters of this rank on both experts")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--steps", type=int, default=5, help="timed steps, after two that warm up")
    args = parser.parse_args(words)
    torch.set_num_threads(args.threads)
    device, spec = torch.device(args.device), spec_of(args.model)
    network, vae = random_networks(spec, DTYPES[args.precision], device)
    network.language_model.model.activation_checkpointing = network.vit_model.vision_model.activation_checkpointing = (
        args.activation_checkpointing
    )
    if args.lora:
        add_lora(network, lambda name: part_of(name) in ("understanding", "generation"), args.lora, args.lora, 0)
    if args.compile:
        for layer in (*network.language_model.model.layers, *network.vit_model.vision_model.encoder.layers):
            compile_layer(layer)
    samples = random_samples(spec, network.config, args.tokens)
    batch = pack(network.config, samples)

    def loss() -> torch.Tensor:
        moved = batch.to(device)
        with torch.no_grad():
            latents = vae.encode(moved.padded_images, moved.vae_sample_noise)
        with torch.autocast(device.type, torch.bfloat16, enabled=args.precision == "bf16-autocast"):
            found = network(moved, latents, 1.0)
        return found.ce.mean() + found.mse.mean()

    ways = [(loss, [p for p in network.parameters() if p.requires_grad])]
    if device.type == "cpu" and args.precision == "fp32" and not args.lora:
        ways.append(plain_way(network, vae, samples, batch))
    results = timed(ways, args.steps, device)
    tokens = tokens_of(batch)
    flops = (2 if args.lora else 3) * forward_flops(bagel_sizes(architecture_of(spec)), tokens)
    print(f"{device_name(device)}, torch {torch.__version__}, {args.model}, {args.precision}, {tokens.all} tokens")
    for name, (seconds, _) in zip(("sgt", "plain reference"), results, strict=False):
        print(f"{name}: {seconds:.3f} s/step, {tokens.all / seconds:.0f} tokens/s, {share(flops / seconds, device)}")
    print(f"peak memory {peak_memory(device) / 1e9:.2f} GB")
    if len(results) == 2:
        (fast, ours), (slow, theirs) = results
        print(f"ratio {slow / fast:.2f}; first losses {ours:.6f} and {theirs:.6f}")


def plain_way(
    network: BagelNetwork, vae: VAE, samples: list[list[Item]], batch: PackedBatch
) -> tuple[Callable[[], torch.Tensor], list[torch.Tensor]]:
    """The reference's loss on the same samples and draws, and a copy of the weights that it trains."""
    weights = {name: p.detach().clone() for name, p in network.state_dict().items()}
    trained = [weights[name].requires_grad_() for name, p in network.named_parameters() if p.requires_grad]
    counts = [h * w for h, w in batch.patchified_vae_latent_shapes]
    normals = [float(part[0]) for part in batch.packed_timesteps.split(counts)]
    kept = [[False] * len(items) for items in samples]

    def loss() -> torch.Tensor:
        with torch.no_grad():
            latents = vae.encode(batch.padded_images, batch.vae_sample_noise)
        noises = batch.flow_noise.split(counts)
        ce, _, mse = bagel_reference.losses(
            weights, network.config, SPECIAL, samples, kept, latents, noises, normals, 1.0
        )
        return ce.mean() + mse.mean()

    return loss, trained


def timed(
    ways: Sequence[tuple[Callable[[], torch.Tensor], list[torch.Tensor]]], steps: int, device: torch.device
) -> list[tuple[float, float]]:
    """Per way: seconds of its fastest step (loss, gradients, clipping, AdamW), and the loss of the first.

    The ways take turns, so that whatever else the machine does slows each as much.
    """
    optimizers = [make_adamw(trained, Optimizer()) for _, trained in ways]
    seconds, losses = [[] for _ in ways], [[] for _ in ways]
    for _ in range(steps + 2):
        for way, (loss, trained) in enumerate(ways):
            began = time.perf_counter()
            value = loss()
            value.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizers[way].step()
            optimizers[way].zero_grad(set_to_none=True)
            losses[way].append(value.item())
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[way].append(time.perf_counter() - began)
    return [(min(taken[2:]), values[0]) for taken, values in zip(seconds, losses, strict=True)]


def share(flops_per_second: float, device: torch.device) -> str:
    """Arithmetic per second, as a share of the device's where that is known."""
    if device.type == "cuda":
        peak = next((peak for name, peak in PEAK_FLOPS.items() if name in torch.cuda.get_device_name()), None)
        return f"MFU {flops_per_second / peak:.1%}" if peak else "MFU unknown: add the device's peak"
    return f"{flops_per_second / 1e9:.1f} GFLOP/s"


def peak_memory(device: torch.device) -> int:
    """Bytes at most, of everything so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device_name(device: torch.device) -> str:
    """What the device calls itself."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.processor())
    return f"{name}, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
