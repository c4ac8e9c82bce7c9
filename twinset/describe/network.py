"""The encoder's network: what an item is, which colours it has, and which pixels of the crop are its own.

One EfficientNet-Lite, three outputs. The embedding joins two unit vectors, kind and colour, each weighted: kind from
the pooled deep map, colour from the item's own pixels, averaged by the mask the network finds. `Tasks` holds the
classifiers that only training uses.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twinset.backbone import EfficientNetLite

DIM = 256
COLOUR_DIM = 64
PIXEL_DIM = 48  # features of one pixel's colour
MASK_STRIDE = 8


class EncoderNet(nn.Module):
    """Kind (B, 192), colour (B, 64), unit vectors, and mask logits (B, S/8, S/8) of (B, 3, S, S) pixels in [0, 255]."""

    def __init__(self, backbone: EfficientNetLite) -> None:
        super().__init__()
        self.backbone = backbone
        _, c8, c16, c32 = backbone.channels
        self.mask8 = nn.Conv2d(c8, 32, 1)
        self.mask16 = nn.Conv2d(c16, 32, 1)
        self.mask32 = nn.Conv2d(c32, 32, 1)
        self.mask = nn.Sequential(nn.ReLU6(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU6(), nn.Conv2d(32, 1, 1))
        self.pixel = nn.Sequential(
            nn.Conv2d(3, PIXEL_DIM, 1), nn.ReLU6(), nn.Conv2d(PIXEL_DIM, PIXEL_DIM, 1), nn.ReLU6()
        )
        self.kind = nn.Sequential(
            nn.Linear(c32 + c16, 512), nn.BatchNorm1d(512), nn.ReLU6(), nn.Linear(512, DIM - COLOUR_DIM)
        )
        self.colour = nn.Sequential(
            nn.Linear(2 * PIXEL_DIM + c8 + c16, 256), nn.BatchNorm1d(256), nn.ReLU6(), nn.Linear(256, COLOUR_DIM)
        )

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        _, f8, f16, f32 = self.backbone(pixels)
        up16 = F.interpolate(self.mask16(f16), scale_factor=2.0, mode="nearest")
        up32 = F.interpolate(self.mask32(f32), scale_factor=4.0, mode="nearest")
        mask = self.mask(self.mask8(f8) + up16 + up32)  # (B, 1, S/8, S/8)
        weight = mask.sigmoid() + 1e-3
        coarse = F.avg_pool2d(pixels, MASK_STRIDE // 2) / 127.5 - 1  # (B, 3, S/4, S/4)
        colours = self.pixel(coarse)
        fine_weight = F.interpolate(weight, scale_factor=2.0, mode="nearest")
        mean = _pool(colours, fine_weight)
        spread = _pool(colours.square(), fine_weight) - mean.square()
        weight16 = F.avg_pool2d(weight, 2)
        parts = [mean, spread.clamp(min=0), _pool(f8, weight), _pool(f16, weight16)]
        colour = self.colour(torch.cat(parts, 1))
        kind = self.kind(torch.cat([f32.mean((2, 3)), _pool(f16, weight16)], 1))
        return F.normalize(kind, dim=1), F.normalize(colour, dim=1), mask[:, 0]


def _pool(features: Tensor, weight: Tensor) -> Tensor:
    """Return the (B, C) weighted means over a map."""
    return (features * weight).sum((2, 3)) / weight.sum((2, 3))


def join(kind: Tensor, colour: Tensor, colour_weight: float) -> Tensor:
    """Return the (B, 256) unit embedding: its cosine is the weighted mean of the two parts' cosines."""
    return torch.cat([kind * (1 - colour_weight) ** 0.5, colour * colour_weight**0.5], 1)


class Tasks(nn.Module):
    """Classifiers over the two vectors: logits by task. Cosine classifiers, so that neighbours share classes."""

    SCALE = 20.0

    def __init__(self, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.names = tuple(sizes)
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(size, COLOUR_DIM if task.startswith("colour") else DIM - COLOUR_DIM))
            for task, size in sizes.items()
        )

    def forward(self, kind: Tensor, colour: Tensor) -> dict[str, Tensor]:
        return {
            task: self.SCALE * (colour if task.startswith("colour") else kind) @ F.normalize(weight, dim=1).T
            for task, weight in zip(self.names, self.weights, strict=True)
        }


class ServingEncoder(nn.Module):
    """The network as it is served: (B, S, S, 3) uint8 in; embedding (B, 256) and mask (B, S/8, S/8) in [0, 1] out."""

    def __init__(self, net: EncoderNet, colour_weight: float) -> None:
        super().__init__()
        self.net = net
        self.colour_weight = colour_weight

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        kind, colour, mask = self.net(pixels.permute(0, 3, 1, 2).float())
        return join(kind, colour, self.colour_weight), mask.sigmoid()
