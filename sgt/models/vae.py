"""The autoencoder of both families (FLUX.1 design), under its original parameter names.

An image (3, H, W) in [-1, 1] becomes a scaled latent (z, H/f, W/f) with f = 2^(levels - 1); frozen in post-training.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgt.models.configs import VAEConfig

# Pixels of several images that are encoded or decoded at once; a single image may have more. With FLUX.1's sizes,
# encoding takes 2.5 kB per pixel and decoding 3 kB.
PIXELS_AT_ONCE = 4 * 2**20


class ResnetBlock(nn.Module):
    """GroupNorm, swish, 3x3, twice, plus a shortcut."""

    def __init__(self, channels_in: int, channels: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels_in, eps=1e-6)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, channels, eps=1e-6)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) → (B, channels, H, W)."""
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return self.nin_shortcut(x) + h


class AttnBlock(nn.Module):
    """Single-head self-attention over the positions of a feature map."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        h = self.norm(x)
        q, k, v = (f(h).flatten(2).transpose(1, 2)[:, None] for f in (self.q, self.k, self.v))
        h = F.scaled_dot_product_attention(q, k, v)
        return x + self.proj_out(h[:, 0].transpose(1, 2).reshape(x.shape))


class Downsample(nn.Module):
    """Stride-2 convolution after padding right and bottom by one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H/2, W/2)."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Nearest-neighbour doubling, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, 2H, 2W)."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """Residual blocks of one resolution, then a resampling step (absent at the last level)."""

    def __init__(self, channels_in: int, channels: int, blocks: int, groups: int, resample: str | None) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            ResnetBlock(channels_in if i == 0 else channels, channels, groups) for i in range(blocks)
        )
        if resample == "downsample":
            self.downsample = Downsample(channels)
        elif resample == "upsample":
            self.upsample = Upsample(channels)
        self.resample = resample

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) → (B, channels, H', W')."""
        for block in self.block:
            x = block(x)
        return getattr(self, self.resample)(x) if self.resample else x


class Middle(nn.Module):
    """Residual block, attention, residual block."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels, groups)
        self.attn_1 = AttnBlock(channels, groups)
        self.block_2 = ResnetBlock(channels, channels, groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        return self.block_2(self.attn_1(self.block_1(x)))


class Encoder(nn.Module):
    """Image → mean and log-variance of the latent, as (B, 2z, H/f, W/f)."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.ch * m for m in config.ch_mult]
        last = len(widths) - 1
        self.conv_in = nn.Conv2d(config.in_channels, config.ch, 3, padding=1)
        self.down = nn.ModuleList(
            Level(
                config.ch if i == 0 else widths[i - 1],
                width,
                config.num_res_blocks,
                config.norm_groups,
                "downsample" if i < last else None,
            )
            for i, width in enumerate(widths)
        )
        self.mid = Middle(widths[-1], config.norm_groups)
        self.norm_out = nn.GroupNorm(config.norm_groups, widths[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.z_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, 2z, H/f, W/f)."""
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class Decoder(nn.Module):
    """Unscaled latent → image."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.ch * m for m in config.ch_mult]
        last = len(widths) - 1
        self.conv_in = nn.Conv2d(config.z_channels, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1], config.norm_groups)
        self.up = nn.ModuleList(
            Level(
                widths[min(i + 1, last)],
                width,
                config.num_res_blocks + 1,
                config.norm_groups,
                "upsample" if i > 0 else None,
            )
            for i, width in enumerate(widths)
        )
        self.norm_out = nn.GroupNorm(config.norm_groups, widths[0], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[0], config.out_ch, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """(B, z, h, w) → (B, 3, h·f, w·f)."""
        x = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class VAE(nn.Module):
    """The autoencoder with its scaling."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the unscaled latent, each (B, z, h, w)."""
        with self._own_precision(images):
            mean, logvar = self.encoder(images).chunk(2, dim=1)
        return mean, logvar

    def encode(self, images: Tensor, noise: Tensor) -> Tensor:
        """Sample scaled latents, of few images at once: see ``PIXELS_AT_ONCE``.

        Args:
            images: (B, 3, H, W) in [-1, 1]; sides are multiples of ``downsample``.
            noise: (B, z, h, w), standard normal.

        Returns:
            (B, z, h, w): ``scale * (mean + std * noise - shift)``.
        """
        count = images_at_once(*images.shape[2:])
        latents = []
        for some, draws in zip(images.split(count), noise.split(count), strict=True):
            mean, logvar = self.moments(some)
            sampled = mean + torch.exp(0.5 * logvar) * draws
            latents.append(self.config.scale_factor * (sampled - self.config.shift_factor))
        return torch.cat(latents)

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, z, h, w) → images (B, 3, H, W), nominally in [-1, 1]; of few at once."""
        height, width = (side * self.config.downsample for side in latents.shape[2:])
        with self._own_precision(latents):
            unscaled = latents / self.config.scale_factor + self.config.shift_factor
            return torch.cat([self.decoder(some) for some in unscaled.split(images_at_once(height, width))])

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) through the latents' means and back."""
        mean, _ = self.moments(images)
        with self._own_precision(images):
            return self.decoder(mean)

    @staticmethod
    def _own_precision(x: Tensor) -> torch.autocast:
        """The weights decide: half precision around a call does not reach in here."""
        return torch.autocast(x.device.type, enabled=False)


def images_at_once(height: int, width: int) -> int:
    """How many images of this size, in pixels, are encoded or decoded at once."""
    return max(1, PIXELS_AT_ONCE // (height * width))
