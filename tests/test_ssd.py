"""The SSD head: anchors, matching, offsets, hard negatives by hand; and what serves doesn't care which head it is."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from twinset.detect.build import build_net
from twinset.detect.detector import Detector, DetectorConfig, load_detector, postprocess
from twinset.detect.losses import Targets
from twinset.detect.network import make_points
from twinset.detect.samples import drawn_samples
from twinset.detect.ssd import (
    ANCHORS,
    SsdHead,
    SsdSettings,
    anchor_sides,
    encode_offsets,
    hard_negatives,
    match_anchors,
    place_anchors,
    ssd_loss,
)
from twinset.detect.train import TrainSettings, torch_detector, train_detector
from twinset.errors import UsageError

logging.getLogger("onnx_ir").setLevel(logging.ERROR)
CATEGORIES = ("top", "skirt", "shoes", "bag", "hat", "dress")
AREA = 96 * 64


def truth(*boxes: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    return torch.tensor([boxes]), torch.ones((1, len(boxes)), dtype=torch.bool)


def targets(boxes: list[tuple[float, ...]], labels: list[int], labelled: list[float], ignored: list[bool]) -> Targets:
    return Targets(
        torch.tensor([boxes]).reshape(1, -1, 4),
        torch.tensor([labels], dtype=torch.int64),
        torch.ones((1, len(labels)), dtype=torch.bool),
        torch.tensor([ignored], dtype=torch.bool),
        torch.tensor([labelled]),
    )


def test_anchors_are_centred_on_the_points_and_grow_with_the_level():
    anchors = place_anchors(*make_points(96, 64), anchor_sides(AREA))

    assert len(anchors) == ANCHORS * (8 * 12 + 4 * 6 + 2 * 3)
    assert anchors[0, :2].tolist() == anchors[ANCHORS - 1, :2].tolist() == [4, 4]
    assert anchors[0, 2:].tolist() == pytest.approx([0.06 * AREA**0.5] * 2)
    assert anchors[1, 2] == pytest.approx(2 * anchors[1, 3])  # twice as wide as high
    assert anchors[:, 2:].prod(1).sqrt().max().item() == pytest.approx(0.9 * AREA**0.5)


def test_anchors_that_overlap_a_box_by_half_are_its_and_so_is_its_best():
    anchors = torch.tensor([[10.0, 10, 20, 20], [13, 10, 20, 20], [60, 60, 20, 20]])
    boxes, valid = truth((0, 0, 20, 20), (60, 60, 100, 100))  # the second covers a quarter of its best anchor

    assert match_anchors(anchors, boxes, valid, 0.5).tolist() == [[0, 0, 1]]


def test_a_box_that_overlaps_no_anchor_matches_none():
    boxes, valid = truth((200, 200, 220, 220))

    assert match_anchors(torch.tensor([[10.0, 10, 20, 20]]), boxes, valid, 0.5).tolist() == [[-1]]


def test_padding_matches_nothing():
    boxes, valid = truth((0, 0, 20, 20))

    assert match_anchors(torch.tensor([[10.0, 10, 20, 20]]), boxes, ~valid, 0.5).tolist() == [[-1]]


def test_encoded_offsets_decode_to_the_box():
    head = SsdHead(8, 3, AREA)
    points, strides = make_points(96, 64)
    anchors = place_anchors(points, strides, head.sides)
    first = slice(0, ANCHORS * 8 * 12)  # of stride 8
    boxes = torch.tensor([[3.0, 5, 40, 70]]).expand(first.stop, 4)

    distances = head.distances(0, encode_offsets(boxes, anchors[first])[None])[0]

    centres = anchors[first, :2]
    decoded = torch.cat([centres - distances[:, :2], centres + distances[:, 2:]], 1)
    assert torch.allclose(decoded, boxes, atol=1e-3)


def test_the_hardest_three_negatives_a_positive_are_mined():
    index = torch.tensor([[0, -1, -1, -1, -1, -1]])
    losses = torch.tensor([[9.0, 1, 5, 4, 2, 3]])

    mined = hard_negatives(losses, index, positives=1, ratio=3.0)

    assert mined.tolist() == [[False, False, True, True, False, True]]


def test_unlabelled_categories_and_undecidable_boxes_teach_nothing():
    anchors = torch.tensor([[10.0, 10, 20, 20], [50, 50, 20, 20], [90, 90, 20, 20]])
    given = targets([(0, 0, 20, 20), (40, 40, 60, 60)], [0, 1], [1.0, 1.0, 0.0], [False, True])
    logits, offsets = torch.zeros((1, 3, 3), requires_grad=True), torch.zeros((1, 3, 4), requires_grad=True)

    loss, parts = ssd_loss(logits, offsets, anchors, given, SsdSettings())
    loss.backward()

    taught = logits.grad[0] != 0
    assert taught.tolist() == [[True, True, False], [True, False, False], [True, True, False]]
    assert logits.grad[0, 0, 0] < 0  # the matched anchor's own class is to rise
    assert parts["box"] == pytest.approx(0)  # the anchor is the box
    assert not offsets.grad.any()


def test_a_photo_of_nothing_still_has_negatives():
    given = targets([], [], [1.0, 1.0, 1.0], [])
    logits = torch.zeros((1, 8, 3), requires_grad=True)

    loss, _ = ssd_loss(logits, torch.zeros((1, 8, 4)), torch.ones((8, 4)), given, SsdSettings())
    loss.backward()

    assert int((logits.grad[0] > 0).all(1).sum()) == 3


def test_rows_of_a_cells_anchors_share_its_centre():
    cells = 8 * 4 + 4 * 2 + 2 * 1
    scores = np.zeros((cells * 6, 2), np.float32)
    scores[9 * 6 + 4, 1] = 0.8  # the fifth anchor of the cell at (12, 12)
    distances = np.ones((cells * 6, 4), np.float32)

    found = postprocess(distances, scores, (64, 32), (64, 32), 0.5, DetectorConfig(("top", "bag")))

    assert found.boxes.tolist() == [[11, 11, 13, 13]]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_ssd_trains_and_serves_as_the_other_head_does(tmp_path: Path):
    settings = TrainSettings(
        head="ssd", height=96, width=64, batch=2, epochs=1, small_until=0.0, warmup=2, packshots=3, worn=0, others=0,
        frozen_blocks=15,
    )  # fmt: skip
    train_detector(settings, drawn_samples(6, CATEGORIES, seed=0), CATEGORIES, tmp_path)

    served = load_detector(tmp_path, threads=1)
    net = build_net(settings, CATEGORIES, tmp_path / "detector.onnx").eval()
    in_torch: Detector = torch_detector(net, DetectorConfig(CATEGORIES, AREA))
    image = np.random.default_rng(0).integers(0, 256, (150, 70, 3), np.uint8)
    found, expected = served.detect(image, 0.0), in_torch.detect(image, 0.0)
    assert len(found) == len(expected) > 0
    assert found.scores == pytest.approx(expected.scores, abs=1e-3)


@pytest.mark.parametrize("change", [{"head": "yolo"}, {"backbone": "lite9"}], ids=str)
def test_heads_and_backbones_that_are_none_are_refused(change):
    with pytest.raises(UsageError, match=r"expected .* or .*, found"):
        TrainSettings(**change)
