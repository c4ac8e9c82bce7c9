"""Plain encoders that a model is compared with on the same crops: ImageNet features and a colour histogram."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from twinset.describe.colours import rgb_to_lab
from twinset.describe.encoder import letterbox
from twinset.errors import MissingExtra
from twinset.types import Image

LAB_BINS = (6, 10, 10)
NEAR_WHITE = 97  # lightness from which a pale pixel is background to the histogram
BASELINE_SIZE = 224

Embed = Callable[[Sequence[Image]], NDArray[np.float32]]  # crops -> (N, D) unit vectors


def imagenet_features() -> Embed:
    """Return the baseline of pooled ImageNet features of EfficientNet-Lite0. Raises MissingExtra."""
    try:
        import torch
    except ImportError as exc:
        raise MissingExtra("torch", "train") from exc
    from twinset.backbone import load_imagenet, pooled_features

    net = load_imagenet("lite0").eval()

    def embed(crops: Sequence[Image]) -> NDArray[np.float32]:
        squares = [letterbox(cut, BASELINE_SIZE)[0] for cut in crops]
        tensors = [torch.from_numpy(square).permute(2, 0, 1).float() for square in squares]
        features: NDArray[np.float32] = pooled_features(net, tensors).numpy()
        return features

    return embed


def lab_histograms(crops: Sequence[Image]) -> NDArray[np.float32]:
    """Return the (N, D) unit Lab histograms of the pixels that are not near white."""
    rows = []
    for cut in crops:
        step = max(1, max(cut.shape[:2]) // 96)
        lab = rgb_to_lab(cut[::step, ::step].reshape(-1, 3).astype(np.float32))
        coloured = (lab[:, 0] < NEAR_WHITE) | (np.hypot(lab[:, 1], lab[:, 2]) > 8)
        lab = lab[coloured] if coloured.sum() >= 16 else lab
        counts, _ = np.histogramdd(lab, LAB_BINS, ((0, 100.001), (-90, 100), (-110, 100)))
        row = np.sqrt(counts.ravel())  # so that the cosine is the histograms' Bhattacharyya coefficient
        rows.append(row / max(np.linalg.norm(row), 1e-9))
    return np.array(rows, np.float32)
