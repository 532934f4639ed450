"""Speed of a training step: tokens per second, model FLOPs utilization (MFU), peak memory.

On the CPU the step is compared with that of a simple reference (``bagel_reference.py``) on the same samples and
weights. Run from the repository root, for example::

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

    variants = [(loss, [p for p in network.parameters() if p.requires_grad])]
    if device.type == "cpu" and args.precision == "fp32" and not args.lora:
        variants.append(reference(network, vae, samples, batch))
    results = timed(variants, args.steps, device)
    tokens = tokens_of(batch)
    flops = (2 if args.lora else 3) * forward_flops(bagel_sizes(architecture_of(spec)), tokens)
    print(f"{device_name(device)}, torch {torch.__version__}, {args.model}, {args.precision}, {tokens.all} tokens")
    for name, (seconds, _) in zip(("sgt", "reference"), results, strict=False):
        print(
            f"{name}: {seconds:.3f} s/step, {tokens.all / seconds:.0f} tokens/s, {utilization(flops / seconds, device)}"
        )
    print(f"peak memory {peak_memory(device) / 1e9:.2f} GB")
    if len(results) == 2:
        (fast, ours), (slow, theirs) = results
        print(f"ratio {slow / fast:.2f}; first losses {ours:.6f} and {theirs:.6f}")


def reference(
    network: BagelNetwork, vae: VAE, samples: list[list[Item]], batch: PackedBatch
) -> tuple[Callable[[], torch.Tensor], list[torch.Tensor]]:
    """The reference's loss on the same samples and random draws, and the copy of the weights that it trains."""
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
    variants: Sequence[tuple[Callable[[], torch.Tensor], list[torch.Tensor]]], steps: int, device: torch.device
) -> list[tuple[float, float]]:
    """Per variant: seconds of its fastest step (loss, gradients, clipping, AdamW), and the loss of its first step.

    The variants are run alternately, so that other work on the machine slows all of them equally.
    """
    optimizers = [make_adamw(trained, Optimizer()) for _, trained in variants]
    seconds, losses = [[] for _ in variants], [[] for _ in variants]
    for _ in range(steps + 2):
        for variant, (loss, trained) in enumerate(variants):
            began = time.perf_counter()
            value = loss()
            value.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizers[variant].step()
            optimizers[variant].zero_grad(set_to_none=True)
            losses[variant].append(value.item())
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[variant].append(time.perf_counter() - began)
    return [(min(times[2:]), values[0]) for times, values in zip(seconds, losses, strict=True)]


def utilization(flops_per_second: float, device: torch.device) -> str:
    """MFU on a GPU whose peak is known; operations per second on the CPU."""
    if device.type == "cuda":
        peak = next((peak for name, peak in PEAK_FLOPS.items() if name in torch.cuda.get_device_name()), None)
        return f"MFU {flops_per_second / peak:.1%}" if peak else "MFU unknown: add the device's peak"
    return f"{flops_per_second / 1e9:.1f} GFLOP/s"


def peak_memory(device: torch.device) -> int:
    """Peak memory of the process so far, bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device_name(device: torch.device) -> str:
    """Name of the device, with the number of threads on the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.processor())
    return f"{name}, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
