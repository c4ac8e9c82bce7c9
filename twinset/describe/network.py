"""The encoder's network: what an item is, which colours it has, how it looks, and which pixels are its own.

One EfficientNet-Lite, five outputs. The embedding joins four unit vectors, each weighted: kind from the pooled deep
map; colour, shades and look from the item's own pixels, by the mask the network finds. Kind and colour are taught by
labels, look by telling one product from another in any light. Shades is not taught: it is the histogram of the pixels'
colours in fewer numbers, which keeps the exact ones and forgets pose. `Tasks` holds the classifiers that only training
uses.
"""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twinset.backbone import EfficientNetLite

DIMS = (112, 48, 64, 32)  # of kind, colour, shades, look
PIXEL_DIM = 48  # features of one pixel's colour
MASK_STRIDE = 8
LAB_BINS = (8, 9, 9)  # of lightness, a, b
AB_LIMIT = 80.0  # of the histogram's a and b
AB_FINE = 10.0  # below it bins are about even in a and b, above they grow with the logarithm


class EncoderNet(nn.Module):
    """Unit vectors kind (B, 112), colour (B, 48), shades (B, 64), look (B, 32), and mask logits (B, S/8, S/8).

    Takes (B, 3, S, S) pixels in [0, 255].
    """

    def __init__(self, backbone: EfficientNetLite) -> None:
        super().__init__()
        self.backbone = backbone
        _, c8, c16, c32 = backbone.channels
        kind, colour, shades, look = DIMS
        self.mask8 = nn.Conv2d(c8, 32, 1)
        self.mask16 = nn.Conv2d(c16, 32, 1)
        self.mask32 = nn.Conv2d(c32, 32, 1)
        self.mask = nn.Sequential(nn.ReLU6(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU6(), nn.Conv2d(32, 1, 1))
        self.pixel = nn.Sequential(
            nn.Conv2d(3, PIXEL_DIM, 1), nn.ReLU6(), nn.Conv2d(PIXEL_DIM, PIXEL_DIM, 1), nn.ReLU6()
        )
        self.histogram = LabHistogram()
        self.kind = _head(c32 + c16, 512, kind)
        self.colour = _head(2 * PIXEL_DIM + c8 + c16 + self.histogram.bins, 256, colour)
        self.shades = nn.Linear(self.histogram.bins, shades, bias=False).requires_grad_(False)
        self.look = _head(2 * PIXEL_DIM + 2 * (c8 + c16), 256, look)
        self.look_shades = nn.Linear(self.histogram.bins, look, bias=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        _, f8, f16, f32 = self.backbone(pixels)
        up16 = F.interpolate(self.mask16(f16), scale_factor=2.0, mode="nearest")
        up32 = F.interpolate(self.mask32(f32), scale_factor=4.0, mode="nearest")
        mask = self.mask(self.mask8(f8) + up16 + up32)  # (B, 1, S/8, S/8)
        weight = mask.sigmoid() + 1e-3
        coarse, fine_weight = _finer(pixels, weight)
        weight16 = F.avg_pool2d(weight, 2)
        tones = _pool_twice(self.pixel(coarse / 127.5 - 1), fine_weight)
        texture8, texture16 = _pool_twice(f8, weight), _pool_twice(f16, weight16)
        histogram = self.histogram(coarse, fine_weight)
        kind = self.kind(torch.cat([f32.mean((2, 3)), texture16[0]], 1))
        colour = self.colour(torch.cat([*tones, texture8[0], texture16[0], histogram], 1))
        shades = self.shades(histogram)
        look = self.look(torch.cat([*tones, *texture8, *texture16], 1)) + self.look_shades(histogram)
        return *(F.normalize(part, dim=1) for part in (kind, colour, shades, look)), mask[:, 0]

    @torch.no_grad()
    def fit_shades(self, pixels: Tensor, masks: Tensor) -> None:
        """Have `shades` keep the principal directions of items' histograms, which is most of their dot products.

        pixels (N, 3, S, S) in [0, 255], masks (N, S/8, S/8) in [0, 1].
        """
        histograms = self.histogram(*_finer(pixels, masks[:, None] + 1e-3))
        _, directions = torch.linalg.eigh(histograms.T @ histograms / len(histograms))  # ascending
        self.shades.weight.copy_(directions[:, -self.shades.out_features :].T.flip(0))


class LabHistogram(nn.Module):
    """The weighted histogram of pixels in CIE Lab (D65), a pixel shared among the bins around it.

    Returns the square roots of the bins' shares (B, 648), unit vectors: their cosine is the Bhattacharyya coefficient.
    """

    bins = LAB_BINS[0] * LAB_BINS[1] * LAB_BINS[2]

    def __init__(self) -> None:
        super().__init__()
        to_xyz = torch.tensor(
            [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
        )
        white = torch.tensor([[0.95047], [1.0], [1.08883]])
        self.register_buffer("to_xyz", (to_xyz / white)[:, :, None, None], persistent=False)
        to_lab = torch.tensor([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]])
        self.register_buffer("to_lab", to_lab[:, :, None, None], persistent=False)

    def forward(self, pixels: Tensor, weight: Tensor) -> Tensor:
        """pixels (B, 3, H, W) sRGB in [0, 255], weight (B, 1, H, W)."""
        rgb = pixels / 255
        linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055).clamp(min=1e-6).pow(2.4), rgb / 12.92)
        xyz = F.conv2d(linear, self.get_buffer("to_xyz"))
        scaled = torch.where(xyz > 216 / 24389, xyz.clamp(min=1e-6).pow(1 / 3), (24389 / 27 * xyz + 16) / 116)
        lab = F.conv2d(scaled, self.get_buffer("to_lab")).flatten(2)  # (B, 3, P), lightness + 16
        lightness = _tents((lab[:, 0] - 16) / 100, LAB_BINS[0])
        a, b = (_tents(_spread(lab[:, i]), bins) for i, bins in ((1, LAB_BINS[1]), (2, LAB_BINS[2])))
        weighted = a * (weight / weight.sum((2, 3), keepdim=True)).flatten(2)
        pairs = (lightness[:, :, None] * weighted[:, None]).flatten(1, 2)  # (B, 72, P)
        shares = (pairs @ b.transpose(1, 2)).flatten(1)
        return F.normalize((shares + 1e-5).sqrt(), dim=1)


def _tents(values: Tensor, bins: int) -> Tensor:
    """Return (B, bins, P) shares of values (B, P) in [0, 1] in the two bins nearest. Pixels last: that is fastest."""
    centres = torch.arange(bins, dtype=values.dtype)[:, None]
    return (1 - (values.clamp(0, 1)[:, None] * (bins - 1) - centres).abs()).clamp(min=0)


def _spread(values: Tensor) -> Tensor:
    """Return a or b of Lab as [0, 1], with most room for the pale colours that most clothes have."""
    return torch.asinh(values / AB_FINE) / math.asinh(AB_LIMIT / AB_FINE) / 2 + 0.5


def _finer(pixels: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return pixels at a quarter of the size, where colours are taken, and the mask's weights there."""
    return F.avg_pool2d(pixels, MASK_STRIDE // 2), F.interpolate(weight, scale_factor=2.0, mode="nearest")


def _head(c_in: int, hidden: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(c_in, hidden), nn.BatchNorm1d(hidden), nn.ReLU6(), nn.Linear(hidden, c_out))


def _pool(features: Tensor, weight: Tensor) -> Tensor:
    """Return the (B, C) weighted means over a map."""
    return (features * weight).sum((2, 3)) / weight.sum((2, 3))


def _pool_twice(features: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the (B, C) weighted means and standard deviations over a map."""
    mean = _pool(features, weight)
    variance = _pool(features.square(), weight) - mean.square()
    return mean, (variance.clamp(min=0) + 1e-4).sqrt()


def join(parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Return the (B, 256) unit embedding of unit vectors: its cosine is the weighted mean of the parts' cosines.

    `weights` add up to 1.
    """
    return torch.cat([part * weight**0.5 for part, weight in zip(parts, weights, strict=True)], 1)


class Tasks(nn.Module):
    """Classifiers over kind and colour: logits by task. Cosine classifiers, so that neighbours share classes."""

    SCALE = 20.0

    def __init__(self, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.names = tuple(sizes)
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(size, DIMS[1] if task.startswith("colour") else DIMS[0]))
            for task, size in sizes.items()
        )

    def forward(self, kind: Tensor, colour: Tensor) -> dict[str, Tensor]:
        return {
            task: self.SCALE * (colour if task.startswith("colour") else kind) @ F.normalize(weight, dim=1).T
            for task, weight in zip(self.names, self.weights, strict=True)
        }


class ServingEncoder(nn.Module):
    """The network as it is served: (B, S, S, 3) uint8 in; embedding (B, 256) and mask (B, S/8, S/8) in [0, 1] out."""

    def __init__(self, net: EncoderNet, weights: Sequence[float]) -> None:
        super().__init__()
        self.net = net
        self.weights = tuple(weights)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        *parts, mask = self.net(pixels.permute(0, 3, 1, 2).float())
        return join(parts, self.weights), mask.sigmoid()
