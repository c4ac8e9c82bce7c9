"""Which points a ground-truth box is matched to, and what the loss leaves out."""

import pytest
import torch

from twinset.detect.losses import LossSettings, Targets, assign, detection_loss
from twinset.detect.network import BINS, make_points

SETTINGS = LossSettings()
YES, NO = torch.tensor([[True]]), torch.tensor([[False]])
FIRST = torch.tensor([[0]])


def square(side: float, middle: float) -> torch.Tensor:
    return torch.tensor([[[middle - side / 2, middle - side / 2, middle + side / 2, middle + side / 2]]])


@pytest.mark.parametrize(("side", "stride"), [(5, 8), (40, 8), (130, 16), (250, 32), (600, 32)])
def test_a_box_is_matched_on_the_level_that_fits_its_size_whatever_level_scores_higher(side: int, stride: int) -> None:
    points, strides = make_points(640, 640)
    truth = square(side, 320)
    scores = torch.where(strides == stride, 0.01, 0.1)[None, :, None]
    index, soft = assign(scores, truth.expand(1, len(points), 4), points, strides, truth, FIRST, YES, SETTINGS)
    best = soft[0].argmax()
    assert strides[best] == stride
    assert soft[0, best] == pytest.approx(1.0, abs=1e-3)
    assert (points[best] - 320).abs().max() <= stride
    assert 4 <= (index[0] == 0).sum() <= SETTINGS.topk


def test_padding_and_pictures_without_boxes_match_nothing() -> None:
    points, strides = make_points(64, 64)
    truth, scores = square(40, 32), torch.full((1, len(points), 1), 0.5)
    boxes = truth.expand(1, len(points), 4)
    index, soft = assign(scores, boxes, points, strides, truth, FIRST, NO, SETTINGS)
    assert (index == -1).all() and (soft == 0).all()
    index, soft = assign(scores, boxes, points, strides, truth[:, :0], FIRST[:, :0], NO[:, :0], SETTINGS)
    assert (index == -1).all() and (soft == 0).all()


def loss_gradient(labelled: list[float], ignored: torch.Tensor) -> torch.Tensor:
    """Return the gradient (P, 2) of the class logits, of a picture with one box of the first of two classes."""
    points, strides = make_points(64, 64)
    logits = torch.zeros(1, len(points), 2, requires_grad=True)
    distances = torch.zeros(1, len(points), 4 * BINS, requires_grad=True)
    targets = Targets(square(40, 32), FIRST, YES, ignored, torch.tensor([labelled]))
    loss, _ = detection_loss(logits, distances, points, strides, targets, SETTINGS)
    loss.backward()
    assert logits.grad is not None
    return logits.grad[0]


def test_a_class_that_the_source_does_not_label_is_no_negative() -> None:
    gradient = loss_gradient([1, 0], NO)
    assert (gradient[:, 1] == 0).all() and (gradient[:, 0] != 0).all()
    assert (loss_gradient([1, 1], NO)[:, 1] > 0).all()


def test_an_undecidable_box_is_neither_to_be_found_nor_not() -> None:
    points, _ = make_points(64, 64)
    inside = (points - 32).abs().amax(1) < 20
    gradient = loss_gradient([1, 1], YES)
    assert (gradient[inside, 0] == 0).all() and (gradient[~inside, 0] > 0).all()
    assert (gradient[:, 1] > 0).all()
