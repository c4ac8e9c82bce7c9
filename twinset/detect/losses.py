"""Match points to ground truth and score the match: task-aligned assignment and the losses of the anchor-free head.

Assignment after Feng et al., "TOOD", ICCV 2021, section 3.2, with a prior of level and centre: without it the finest
level took nearly every box for itself, the coarser two never learned, and what was too large for it scored low.
Distances' distribution loss after Li et al., "Generalized Focal Loss", NeurIPS 2020, section 3.2; CIoU after Zheng et
al., AAAI 2020.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from twinset.detect.network import BINS, decode_boxes
from twinset.training import ABOVE_0, AT_LEAST_0, AT_LEAST_1, check_range


@dataclass(frozen=True, slots=True)
class LossSettings:
    topk: int = 10  # points matched to a box
    alpha: float = 0.5  # weight of the score in the alignment
    beta: float = 6.0  # weight of the IoU in the alignment
    span: float = 8.0  # strides along the longer side of a box that fits its level best, as the anchors of ATSS
    centre: float = 0.3  # standard deviation, in the box's sides, of how much points around its centre are preferred
    class_weight: float = 0.5
    box_weight: float = 7.5
    distribution_weight: float = 1.5

    def __post_init__(self) -> None:
        check_range(self, AT_LEAST_1, "topk")
        check_range(self, ABOVE_0, "span", "centre")
        check_range(self, AT_LEAST_0, "alpha", "beta", "class_weight", "box_weight", "distribution_weight")


Losses = tuple[Tensor, dict[str, float]]  # to be lowered, and its parts by name


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What is to be found in a batch, as tensors."""

    boxes: Tensor  # (B, M, 4) xyxy pixels of the canvas
    labels: Tensor  # (B, M)
    valid: Tensor  # (B, M) False: padding
    ignored: Tensor  # (B, M) True: undecidable, neither to be found nor not to be
    labelled: Tensor  # (B, C) 0 where the image's source doesn't label the class


def pair_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU of boxes paired along the last dimension's boxes (..., 4); broadcasting applies."""
    size = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    overlap = size[..., 0] * size[..., 1]
    area_a = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1)
    area_b = (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1)
    return overlap / (area_a + area_b - overlap + 1e-7)


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the CIoU of paired boxes (..., 4): IoU less centre distance and aspect penalties."""
    iou = pair_iou(a, b)
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    centres = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]).square().sum(-1) / 4
    size_a, size_b = (a[..., 2:] - a[..., :2]).clamp(min=1e-3), (b[..., 2:] - b[..., :2]).clamp(min=1e-3)
    angle = torch.atan(size_a[..., 0] / size_a[..., 1]) - torch.atan(size_b[..., 0] / size_b[..., 1])
    aspect = 4 / math.pi**2 * angle.square()
    with torch.no_grad():
        weight = aspect / (1 - iou + aspect + 1e-7)
    return iou - centres / (hull.square().sum(-1) + 1e-7) - weight * aspect


@torch.no_grad()
def assign(
    scores: Tensor,
    boxes: Tensor,
    points: Tensor,
    strides: Tensor,
    truth: Tensor,
    labels: Tensor,
    valid: Tensor,
    settings: LossSettings,
) -> tuple[Tensor, Tensor]:
    """Return for every point the index (B, P) of its ground-truth box (-1: background) and its soft score (B, P).

    scores (B, P, C) in [0, 1], boxes (B, P, 4), points (P, 2), strides (P,), truth (B, M, 4), labels (B, M), valid
    (B, M) bool. A point is matched only inside the box and on a level that fits the box's size, or for boxes that hold
    fewer than four such points, the points of those levels nearest their centre.
    """
    count = truth.shape[1]
    if count == 0:
        return torch.full(scores.shape[:2], -1), torch.zeros(scores.shape[:2])
    prior = level_prior(truth, strides, settings.span)  # (B, M, P)
    sides = torch.cat([points - truth[:, :, None, :2], truth[:, :, None, 2:] - points], 3)  # (B, M, P, 4)
    inside = (sides.amin(3) > 0.01) & (prior > 0)
    small = inside.sum(2, keepdim=True) < 4
    size = (truth[:, :, None, 2:] - truth[:, :, None, :2]).clamp(min=1.0)
    away = points - (truth[:, :, None, :2] + truth[:, :, None, 2:]) / 2  # (B, M, P, 2)
    centre_distance = away.square().sum(3).masked_fill(prior <= 0, torch.inf)
    near = torch.zeros_like(inside).scatter_(2, centre_distance.topk(4, 2, largest=False).indices, True)
    candidate = (inside | (small & near)) & valid[:, :, None]
    prior = prior * torch.exp((away / size).square().sum(3) / (-2 * settings.centre**2))
    own_score = scores.gather(2, labels[:, None, :].expand(-1, scores.shape[1], -1)).transpose(1, 2)  # (B, M, P)
    iou = pair_iou(boxes[:, None], truth[:, :, None]).clamp(min=0)
    alignment = own_score.pow(settings.alpha) * iou.pow(settings.beta) * prior * candidate
    top = alignment.topk(min(settings.topk, alignment.shape[2]), 2)
    chosen = torch.zeros_like(candidate).scatter_(2, top.indices, True) & candidate
    best_iou = torch.where(chosen, iou, torch.full_like(iou, -1.0)).max(1)  # a point two boxes want goes to the closer
    index = torch.where(best_iou.values >= 0, best_iou.indices, torch.full_like(best_iou.indices, -1))
    kept = chosen & (torch.arange(count)[None, :, None] == index[:, None, :])
    peak = (alignment * kept).amax(2, keepdim=True)
    peak_iou = (iou * kept).amax(2, keepdim=True)
    soft = (alignment * kept / (peak + 1e-12) * peak_iou).amax(1)
    return index, soft


def level_prior(truth: Tensor, strides: Tensor, span: float) -> Tensor:
    """Return (B, M, P) how well boxes (B, M, 4) fit the levels of points by their size, 1 at best, 0: not at all.

    A box that is up to twice as large or half as small as `span` strides fits; the outer levels take all beyond.
    """
    longer = (truth[..., 2:] - truth[..., :2]).amax(2).clamp(min=1.0)  # (B, M)
    longer = longer.clamp(span * float(strides.min()), span * float(strides.max()))
    octaves = (longer[..., None] / (span * strides)).log2().abs()
    return torch.exp2(-2 * octaves) * (octaves < 1)


def detection_loss(
    logits: Tensor, distance_logits: Tensor, points: Tensor, strides: Tensor, targets: Targets, settings: LossSettings
) -> Losses:
    """Return the batch's loss and its parts, of the anchor-free head's outputs.

    points (P, 2), strides (P,): `make_points` of the batch's size.
    """
    truth, labels, valid = targets.boxes, targets.labels, targets.valid & ~targets.ignored
    counts = counted(points, targets, logits.shape[2])
    boxes = decode_boxes(distance_logits, points, strides)
    index, soft = assign(logits.detach().sigmoid(), boxes.detach(), points, strides, truth, labels, valid, settings)
    positive = index >= 0
    target = torch.zeros_like(logits)
    b, p = positive.nonzero(as_tuple=True)
    matched = index[b, p]
    target[b, p, labels[b, matched]] = soft[b, p]
    total = target.sum().clamp(min=1.0)
    counts = torch.maximum(counts, (target > 0).float())
    class_loss = (F.binary_cross_entropy_with_logits(logits, target, reduction="none") * counts).sum() / total
    if len(b):
        weight = soft[b, p]
        goal = truth[b, matched]
        box_loss = ((1 - complete_iou(boxes[b, p], goal)) * weight).sum() / total
        sides = torch.cat([points[p] - goal[:, :2], goal[:, 2:] - points[p]], 1) / strides[p, None]
        distribution_loss = (distance_distribution_loss(distance_logits[b, p], sides) * weight).sum() / total
    else:
        box_loss = distribution_loss = distance_logits.sum() * 0
    loss = (
        settings.class_weight * class_loss
        + settings.box_weight * box_loss
        + settings.distribution_weight * distribution_loss
    )
    return loss, {"class": class_loss.item(), "box": box_loss.item(), "distribution": distribution_loss.item()}


def counted(points: Tensor, targets: Targets, classes: int) -> Tensor:
    """Return (B, P or 1, C) 1 where a class may be wrong to find at a point: its source labels it, and decidably."""
    labelled = targets.labelled[:, None, :]
    if not targets.ignored.any():
        return labelled
    boxes, chosen = targets.boxes, targets.valid & targets.ignored
    sides = torch.cat([points - boxes[:, :, None, :2], boxes[:, :, None, 2:] - points], 3)  # (B, M, P, 4)
    inside = ((sides.amin(3) > 0) & chosen[:, :, None]).float()
    undecidable = torch.einsum("bmp,bmc->bpc", inside, F.one_hot(targets.labels, classes).float()) > 0
    return labelled * ~undecidable


def distance_distribution_loss(logits: Tensor, sides: Tensor) -> Tensor:
    """Return (N,) cross-entropies of the two bins around each distance; logits (N, 4 * BINS), sides (N, 4)."""
    sides = sides.clamp(0, BINS - 1 - 0.01)
    low = sides.floor()
    high_weight = sides - low
    log_p = logits.view(-1, 4, BINS).log_softmax(2)
    low_loss = -log_p.gather(2, low.long()[..., None])[..., 0]
    high_loss = -log_p.gather(2, low.long()[..., None] + 1)[..., 0]
    return (low_loss * (1 - high_weight) + high_loss * high_weight).mean(1)
