"""The SSD head, its anchors and its loss: the other detector, on the same backbone, neck, data and schedule.

Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016. Sections name where something is from. Three things differ:
the classifier is a sigmoid a class rather than a softmax, so that a class which a photo's source does not label can be
left out; three levels with two scales each take the place of six levels with one; and the predictors see the same
towers of convolutions as the anchor-free head's, so that the two heads differ in what is compared and in nothing else.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twinset.detect.losses import Losses, Targets, counted
from twinset.detect.network import STRIDES, head_towers, last_layer, prior_bias
from twinset.training import AT_LEAST_0, SHARE, check_range

SCALES = ((0.06, 0.11), (0.19, 0.33), (0.54, 0.9))  # of the root of the input's area, two a level (section 2.2)
ASPECTS = (1.0, 2.0, 0.5)  # width / height
ANCHORS = len(SCALES[0]) * len(ASPECTS)  # a cell
VARIANCES = (0.1, 0.2)  # the scales of encoded centres and sizes in the authors' code
MOST_GROWTH = math.log(1000 / 16)  # of a side, as an exponent: no infinite boxes early on


@dataclass(frozen=True, slots=True)
class SsdSettings:
    match_iou: float = 0.5  # from which an anchor is a box's (section 2.2, "Matching strategy")
    negatives: float = 3.0  # hard ones for each matched anchor (section 2.2, "Hard negative mining")
    class_weight: float = 1.0
    box_weight: float = 1.0  # the paper's alpha

    def __post_init__(self) -> None:
        check_range(self, SHARE, "match_iou")
        check_range(self, AT_LEAST_0, "negatives", "class_weight", "box_weight")


class SsdHead(nn.Module):
    """Class logits (B, P * A, C) and encoded offsets (B, P * A, 4) of each level, the A anchors of a cell in a row.

    `sides` (levels, A, 2) are the anchors' widths and heights in input pixels, for inputs of `area` pixels. They are
    kept with the weights.
    """

    sides: Tensor

    def __init__(self, width: int, classes: int, area: int) -> None:
        super().__init__()
        self.classes = classes
        self.towers = head_towers(width)
        self.classify = nn.ModuleList(last_layer(width, ANCHORS * classes, prior_bias()) for _ in STRIDES)
        self.regress = nn.ModuleList(last_layer(width, ANCHORS * 4, 0.0) for _ in STRIDES)
        self.register_buffer("sides", anchor_sides(area))

    def forward(self, levels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        logits, offsets = [], []
        for i, x in enumerate(levels):
            logits.append(self._rows(self.classify[i](self.towers.get_submodule(f"{i}.0")(x)), self.classes))
            offsets.append(self._rows(self.regress[i](self.towers.get_submodule(f"{i}.1")(x)), 4))
        return logits, offsets

    def distances(self, level: int, offsets: Tensor) -> Tensor:
        """Return (B, P * A, 4) distances from each cell's centre to its anchors' boxes' sides, in input pixels."""
        rows = offsets.reshape(offsets.shape[0], -1, ANCHORS, 4)
        sides = self.sides[level]
        middle = rows[..., :2] * VARIANCES[0] * sides
        half = (rows[..., 2:] * VARIANCES[1]).clamp(max=MOST_GROWTH).exp() * sides / 2
        return torch.cat([half - middle, half + middle], 3).reshape(offsets.shape[0], -1, 4)

    @staticmethod
    def _rows(x: Tensor, values: int) -> Tensor:
        """Return a (B, A * values, H, W) map as (B, H * W * A, values)."""
        return x.flatten(2).transpose(1, 2).reshape(x.shape[0], -1, values)


def anchor_sides(area: int) -> Tensor:
    """Return the anchors' (levels, A, 2) widths and heights in pixels of an input of that area."""
    root = math.sqrt(area)
    sides = [
        [(scale * root * math.sqrt(aspect), scale * root / math.sqrt(aspect)) for scale in level for aspect in ASPECTS]
        for level in SCALES
    ]
    return torch.tensor(sides)


def place_anchors(points: Tensor, strides: Tensor, sides: Tensor) -> Tensor:
    """Return the (P * A, 4) anchors x y width height, centred on the points (P, 2); sides (levels, A, 2)."""
    level = (strides / STRIDES[0]).log2().long()
    return torch.cat([points.repeat_interleave(ANCHORS, 0), sides[level].reshape(-1, 2)], 1)


@torch.no_grad()
def match_anchors(anchors: Tensor, truth: Tensor, valid: Tensor, match_iou: float) -> Tensor:
    """Return the index (B, P) of each anchor's box: its best from `match_iou` on, else -1. A box's best anchor is its.

    anchors (P, 4) x y width height, truth (B, M, 4) xyxy, valid (B, M) bool.
    """
    if truth.shape[1] == 0:
        return torch.full((len(truth), len(anchors)), -1)
    iou = _overlaps(anchors, truth) * valid[:, :, None]  # (B, M, P)
    best = iou.max(1)
    index = torch.where(best.values >= match_iou, best.indices, torch.full_like(best.indices, -1))
    nearest = iou.argmax(2)  # (B, M)
    for b, m in valid.nonzero().tolist():
        if iou[b, m, nearest[b, m]] > 0:
            index[b, nearest[b, m]] = m
    return index


def _overlaps(anchors: Tensor, truth: Tensor) -> Tensor:
    """Return the (B, M, P) IoU of boxes with anchors."""
    half = anchors[:, 2:] / 2
    low, high = anchors[:, :2] - half, anchors[:, :2] + half
    size = torch.minimum(truth[:, :, None, 2:], high) - torch.maximum(truth[:, :, None, :2], low)
    overlap = size.clamp(min=0).prod(3)
    area = (truth[..., 2:] - truth[..., :2]).clamp(min=0).prod(2)[:, :, None]
    return overlap / (area + anchors[:, 2:].prod(1) - overlap + 1e-7)


def encode_offsets(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Return the (N, 4) offsets of boxes xyxy from their anchors x y width height (section 2.2, equation 2)."""
    middle, size = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3)
    moved = (middle - anchors[:, :2]) / anchors[:, 2:] / VARIANCES[0]
    return torch.cat([moved, (size / anchors[:, 2:]).log() / VARIANCES[1]], 1)


def ssd_loss(logits: Tensor, offsets: Tensor, anchors: Tensor, targets: Targets, settings: SsdSettings) -> Losses:
    """Return the batch's loss and its parts, both over the number of matched anchors.

    logits (B, P, C), offsets (B, P, 4), anchors (P, 4): P counts the anchors here. Negatives are the hardest of the
    batch rather than of each photo, so that photos with nothing in them teach too.
    """
    index = match_anchors(anchors, targets.boxes, targets.valid & ~targets.ignored, settings.match_iou)
    b, p = (index >= 0).nonzero(as_tuple=True)
    matched = index[b, p]
    goal = torch.zeros_like(logits)
    goal[b, p, targets.labels[b, matched]] = 1.0
    counts = torch.maximum(counted(anchors[:, :2], targets, logits.shape[2]), goal)
    losses = F.binary_cross_entropy_with_logits(logits, goal, reduction="none") * counts
    mined = (index >= 0) | hard_negatives(losses.detach().sum(2), index, max(len(b), 1), settings.negatives)
    total = max(len(b), 1)
    class_loss = (losses.sum(2) * mined).sum() / total
    box_goal = encode_offsets(targets.boxes[b, matched], anchors[p])
    box_loss = F.smooth_l1_loss(offsets[b, p], box_goal, reduction="sum") / total
    loss = settings.class_weight * class_loss + settings.box_weight * box_loss
    return loss, {"class": class_loss.item(), "box": box_loss.item()}


def hard_negatives(losses: Tensor, index: Tensor, positives: int, ratio: float) -> Tensor:
    """Return (B, P) whether an unmatched anchor is one of the `ratio * positives` with the highest loss (B, P)."""
    free = torch.where(index < 0, losses, torch.full_like(losses, -1.0)).flatten()
    count = min(int(ratio * positives), int((index < 0).sum()))
    mined = torch.zeros_like(free, dtype=torch.bool)
    mined[free.topk(count).indices] = True
    return mined.view_as(losses)
