from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinset.boxes import (
    box_area,
    box_inside,
    box_iou,
    clip_boxes,
    nms,
    nms_per_label,
    parse_box,
    xyxy_to_xywh,
)
from twinset.errors import UsageError

sides = st.integers(-5, 25)
corner_boxes = st.tuples(sides, sides, sides, sides)  # some turned inside out, some without area
scored_boxes = st.lists(st.tuples(corner_boxes, st.integers(0, 4), st.integers(0, 2)), max_size=12)  # scores tie often
thresholds = st.sampled_from([Fraction(n, 10) for n in range(11)])


def array(*boxes: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(boxes, np.float32).reshape(-1, 4)


def exact_iou(a: tuple[int, ...], b: tuple[int, ...]) -> Fraction:
    """The IoU of two boxes on a grid, by counting the cells of each."""
    cells_a = {(x, y) for x in range(a[0], a[2]) for y in range(a[1], a[3])}
    cells_b = {(x, y) for x in range(b[0], b[2]) for y in range(b[1], b[3])}
    return Fraction(len(cells_a & cells_b), len(cells_a | cells_b)) if cells_a and cells_b else Fraction(0)


def plain_nms(rows: list[tuple[tuple[int, ...], int, int]], threshold: Fraction, by_label: bool) -> list[int]:
    """Greedy suppression as one would say it: take the best that is left, strike what overlaps it."""
    left = sorted(range(len(rows)), key=lambda i: (-rows[i][1], i))
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [
            i
            for i in left
            if exact_iou(rows[i][0], rows[best][0]) <= threshold or (by_label and rows[i][2] != rows[best][2])
        ]
    return kept


@pytest.mark.parametrize(
    ("box", "area"),
    [
        pytest.param((1, 2, 4, 8), 18, id="3x6"),
        pytest.param((0.5, 0, 1, 0.5), 0.25, id="half-pixels"),
        pytest.param((3, 3, 3, 9), 0, id="no-width"),
        pytest.param((4, 8, 1, 2), 0, id="inside-out"),
    ],
)
def test_area_is_width_times_height(box, area):
    assert box_area(array(box)).tolist() == [area]


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [
        pytest.param((0, 0, 10, 10), (0, 0, 10, 10), 1, id="same"),
        pytest.param((0, 0, 10, 10), (5, 0, 15, 10), 1 / 3, id="half-over"),
        pytest.param((0, 0, 10, 10), (0, 0, 5, 5), 0.25, id="inside"),
        pytest.param((0, 0, 10, 10), (10, 0, 20, 10), 0, id="touching"),
        pytest.param((0, 0, 10, 10), (30, 30, 40, 40), 0, id="apart"),
        pytest.param((0, 0, 10, 10), (5, 5, 5, 5), 0, id="point"),
        pytest.param((5, 5, 5, 5), (5, 5, 5, 5), 0, id="same-point"),
        pytest.param((0, 0, 10, 10), (10, 10, 0, 0), 0, id="inside-out"),
    ],
)
def test_iou_of_two_boxes(a, b, iou):
    assert box_iou(array(a), array(b)) == pytest.approx(iou)
    assert box_iou(array(b), array(a)) == pytest.approx(iou)


@pytest.mark.parametrize(
    ("b", "share"),
    [
        pytest.param((2, 2, 4, 4), 1.0, id="inside"),
        pytest.param((-10, -10, 20, 20), 1.0, id="around"),
        pytest.param((8, 0, 12, 10), 0.5, id="half of the smaller"),
        pytest.param((10, 0, 20, 10), 0.0, id="touching"),
        pytest.param((5, 5, 5, 5), 0.0, id="no area"),
    ],
)
def test_how_much_of_the_smaller_box_lies_in_the_other(b, share):
    a = array((0, 0, 10, 10))
    assert box_inside(a, array(b)) == pytest.approx(share)
    assert box_inside(array(b), a) == pytest.approx(share)


@given(st.lists(corner_boxes, max_size=6), st.lists(corner_boxes, max_size=6))
def test_iou_counts_cells(a, b):
    iou = box_iou(array(*a), array(*b))
    assert (iou.shape, iou.dtype) == ((len(a), len(b)), np.float32)
    expected = [[float(exact_iou(one, other)) for other in b] for one in a]
    assert iou == pytest.approx(np.array(expected).reshape(len(a), len(b)))


def test_nms_keeps_best_of_two_overlapping_boxes():
    boxes = array((0, 0, 10, 10), (1, 0, 11, 10))
    assert nms(boxes, np.array([0.8, 0.9], np.float32), iou_threshold=0.5).tolist() == [1]


def test_nms_keeps_what_overlaps_only_a_suppressed_box():
    boxes = array((0, 0, 10, 10), (4, 0, 14, 10), (8, 0, 18, 10))  # neighbours: 6 / 14; the outer two: 2 / 18
    assert nms(boxes, np.array([0.9, 0.8, 0.7], np.float32), iou_threshold=0.4).tolist() == [0, 2]


def test_nms_at_exactly_the_threshold_keeps_both():
    boxes = array((0, 0, 10, 10), (0, 0, 10, 5))
    assert nms(boxes, np.array([0.9, 0.8], np.float32), iou_threshold=0.5).tolist() == [0, 1]


@given(scored_boxes, thresholds)
def test_nms_is_a_plain_loop(rows, threshold):
    boxes, scores = array(*(box for box, _, _ in rows)), np.array([score for _, score, _ in rows], np.float32)
    assert nms(boxes, scores, float(threshold)).tolist() == plain_nms(rows, threshold, by_label=False)


@given(scored_boxes, thresholds, st.integers(0, 10_000))
def test_nms_per_label_is_a_plain_loop_wherever_the_boxes_are(rows, threshold, offset):
    boxes = array(*(box for box, _, _ in rows)) + offset
    scores = np.array([score for _, score, _ in rows], np.float32)
    labels = np.array([label * 1000 for _, _, label in rows], np.int64)
    kept = nms_per_label(boxes, scores, labels, float(threshold))
    assert kept.dtype == np.int64
    assert kept.tolist() == plain_nms(rows, threshold, by_label=True)


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        pytest.param((-5, -5, 5, 5), (0, 0, 5, 5), id="top-left"),
        pytest.param((90, 40, 110, 60), (90, 40, 100, 50), id="bottom-right"),
        pytest.param((0, 0, 100, 50), (0, 0, 100, 50), id="whole-image"),
        pytest.param((200, 200, 300, 300), (100, 50, 100, 50), id="outside"),
    ],
)
def test_clipped_boxes_lie_in_the_image(box, clipped):
    assert clip_boxes(array(box), 100, 50).tolist() == [list(clipped)]


def test_corners_and_sizes_are_two_ways_to_write_a_box():
    corners, sizes = array((10, 20, 40, 80)), array((10, 20, 30, 60))
    assert xyxy_to_xywh(corners).tolist() == sizes.tolist()


def test_a_converter_leaves_its_input_alone():
    boxes = array((10, 20, 40, 80))
    xyxy_to_xywh(boxes)[:] = 0
    assert boxes.tolist() == [[10, 20, 40, 80]]


@pytest.mark.parametrize("function", [box_area, xyxy_to_xywh, lambda boxes: clip_boxes(boxes, 9, 9)])
def test_no_boxes_in_none_out(function):
    assert len(function(array())) == 0


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("1,2,3,4", (1, 2, 3, 4)),
        (" 1.5, 2 ,3 , 4e1", (1.5, 2, 3, 40)),
        ("-10,-10,5,5", (-10, -10, 5, 5)),
    ],
)
def test_box_a_user_wrote_is_read(text, box):
    assert parse_box(text) == box


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1,2,3",
        "1,2,3,4,5",
        "a,b,c,d",
        "1;2;3;4",
        "3,2,1,4",
        "1,4,3,2",
        "1,2,1,4",
        "1,2,nan,4",
        "1,2,inf,4",
        "9" * 999,
    ],
)
def test_box_that_is_none_says_what_was_expected(text):
    with pytest.raises(UsageError, match="expected x1,y1,x2,y2 in pixels with x1 < x2 and y1 < y2") as error:
        parse_box(text)
    assert error.value.field == "box"
    assert len(str(error.value)) < 200


@given(scored_boxes, thresholds)
def test_nms_gives_scores_in_descending_order(rows, threshold):
    scores = np.array([score for _, score, _ in rows], np.float32)
    kept = nms_per_label(
        array(*(box for box, _, _ in rows)), scores, np.array([label for *_, label in rows], np.int64), float(threshold)
    )
    assert all(scores[a] >= scores[b] for a, b in pairwise(kept))
