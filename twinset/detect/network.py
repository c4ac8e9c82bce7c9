"""The detector's network: EfficientNet-Lite, a light path-aggregation neck, and the anchor-free head (SSD's: ssd.py).

Neck after Liu et al., "Path Aggregation Network", CVPR 2018, on depthwise-separable 5x5 convolutions (as in
PP-PicoDet, arXiv 2111.00902). Head after Li et al., "Generalized Focal Loss", NeurIPS 2020: distances as distributions.
"""

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twinset.backbone import EfficientNetLite

STRIDES = (8, 16, 32)
BINS = 16  # distances to a side run from 0 to BINS - 1 strides
WIDTH = 96  # channels of neck and head
PRIOR = 0.01  # the initial score of every class at every point, RetinaNet section 4.1


def conv_bn(c_in: int, c_out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out), nn.ReLU6())


def separable(channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(conv_bn(channels, channels, 5, stride, groups=channels), conv_bn(channels, channels))


class PanNeck(nn.Module):
    """Three maps of `width` channels from the backbone's maps of strides 8, 16, 32: top-down, then bottom-up."""

    def __init__(self, channels: list[int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(conv_bn(c, width) for c in channels)
        self.down = nn.ModuleList(separable(width) for _ in range(2))
        self.stride = nn.ModuleList(separable(width, 2) for _ in range(2))
        self.up = nn.ModuleList(separable(width) for _ in range(2))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        p3, p4, p5 = (lateral(f) for lateral, f in zip(self.lateral, features, strict=True))
        p4 = self.down[0](p4 + F.interpolate(p5, scale_factor=2.0, mode="nearest"))
        p3 = self.down[1](p3 + F.interpolate(p4, scale_factor=2.0, mode="nearest"))
        p4 = self.up[0](p4 + self.stride[0](p3))
        p5 = self.up[1](p5 + self.stride[1](p4))
        return [p3, p4, p5]


class AnchorFreeHead(nn.Module):
    """Class logits (B, P, C) and side-distance logits (B, P, 4 * BINS) of each level, each with its own weights."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.towers = head_towers(width)
        self.classify = nn.ModuleList(last_layer(width, classes, prior_bias()) for _ in STRIDES)
        self.regress = nn.ModuleList(last_layer(width, 4 * BINS, 0.0) for _ in STRIDES)

    def forward(self, levels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        logits, distances = [], []
        for i, x in enumerate(levels):
            logits.append(self.classify[i](self.towers.get_submodule(f"{i}.0")(x)).flatten(2))
            distances.append(self.regress[i](self.towers.get_submodule(f"{i}.1")(x)).flatten(2))
        return [level.transpose(1, 2) for level in logits], [level.transpose(1, 2) for level in distances]

    def distances(self, level: int, distance_logits: Tensor) -> Tensor:
        """Return (B, P, 4) distances from each point to its box's sides, in input pixels: the distributions' means."""
        return _means(distance_logits) * STRIDES[level]


def _means(distance_logits: Tensor) -> Tensor:
    """Return the (B, P, 4) means of distributions over bins (B, P, 4 * BINS).

    By a product and a sum: a matrix product of one column takes ONNX Runtime five times as long.
    """
    bins = torch.arange(BINS, dtype=distance_logits.dtype)
    return (distance_logits.reshape(*distance_logits.shape[:2], 4, BINS).softmax(3) * bins).sum(3)


def head_towers(width: int) -> nn.ModuleList:
    """Return the convolutions between neck and last layers: a level's two towers, of classes and of boxes."""
    return nn.ModuleList(
        nn.ModuleList(nn.Sequential(separable(width), separable(width)) for _ in range(2)) for _ in STRIDES
    )


def prior_bias() -> float:
    """Return the logit of a class's initial score."""
    return -math.log((1 - PRIOR) / PRIOR)


def last_layer(width: int, outputs: int, bias: float) -> nn.Conv2d:
    """Return a last layer that starts near a constant."""
    layer = nn.Conv2d(width, outputs, 1)
    nn.init.normal_(layer.weight, std=0.01)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, bias)
    return layer


class Head(Protocol):
    """What the two heads have in common: two outputs a level, the second of which says where boxes are."""

    def __call__(self, levels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]: ...
    def distances(self, level: int, raw: Tensor) -> Tensor: ...


class DetectorNet(nn.Module):
    """A head's two outputs from (B, 3, H, W) pixels in [0, 255].

    H and W are multiples of 32; outputs run over the points of strides 8, 16 and 32, level by level, row by row.
    """

    def __init__(self, backbone: EfficientNetLite, head: Head, width: int = WIDTH) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = PanNeck(backbone.channels[1:], width)
        self.head = head

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self.split_levels(pixels)
        return torch.cat(first, 1), torch.cat(second, 1)

    def split_levels(self, pixels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return `forward`'s two outputs level by level."""
        levels: tuple[list[Tensor], list[Tensor]] = self.head(self.neck(self.backbone(pixels)[1:]))
        return levels


def make_points(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the (P, 2) x y centres in pixels and (P,) strides of the points of an input of that size."""
    points, strides = [], []
    for stride in STRIDES:
        ys = (torch.arange(height // stride) + 0.5) * stride
        xs = (torch.arange(width // stride) + 0.5) * stride
        y, x = torch.meshgrid(ys, xs, indexing="ij")
        points.append(torch.stack([x.reshape(-1), y.reshape(-1)], 1))
        strides.append(torch.full_like(x.reshape(-1), float(stride)))
    return torch.cat(points), torch.cat(strides)


def decode_boxes(distance_logits: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """Return (B, P, 4) xyxy boxes in input pixels: each side's distance is the mean of its distribution."""
    distances = _means(distance_logits) * strides[:, None]
    return torch.cat([points - distances[..., :2], points + distances[..., 2:]], 2)
