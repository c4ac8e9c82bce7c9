"""The second look at photos whose subject is small."""

import numpy as np
import pytest

from twinset.detect.closer import MARGIN, SCORE, SHARE, put_back, subject
from twinset.detect.detector import Detector, DetectorConfig
from twinset.types import Detections

PHOTO = np.zeros((400, 600, 3), np.uint8)


def found(*rows: tuple[tuple[float, float, float, float], float, int]) -> Detections:
    boxes, scores, labels = zip(*rows, strict=True) if rows else ((), (), ())
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(labels, np.int64)
    )


def test_a_small_subject_is_all_that_was_found_and_a_margin() -> None:
    assert subject(found(((100, 100, 150, 200), 0.9, 0), ((120, 200, 200, 300), 0.3, 1)), PHOTO) == (80, 60, 220, 340)


def test_a_margin_ends_at_the_edge() -> None:
    assert subject(found(((0, 0, 50, 100), 0.9, 0)), PHOTO) == (0, 0, 60, 120)


@pytest.mark.parametrize(
    "detections",
    [
        pytest.param(found(), id="nothing"),
        pytest.param(found(((0, 0, 50, 50), SCORE - 0.01, 0)), id="nothing but what is faint"),
        pytest.param(found(((0, 0, 600 * SHARE**0.5 / (1 + MARGIN) + 2, 400 * SHARE**0.5), 0.9, 0)), id="a large one"),
        pytest.param(found(((0, 0, 50, 50), 0.9, 0), ((550, 350, 600, 400), 0.9, 0)), id="two far apart"),
    ],
)
def test_no_second_look(detections: Detections) -> None:
    assert subject(detections, PHOTO) is None


def test_what_is_seen_closer_takes_the_place_of_what_was_seen_there() -> None:
    before = found(((110, 110, 190, 190), 0.5, 0), ((400, 300, 440, 340), 0.05, 2))
    part, seen = (100, 100, 200, 200), found(((12, 8, 92, 88), 0.9, 1), ((40, 90, 60, 99), 0.4, 2))
    after = put_back(seen, part, before, 0.6, 100)
    assert after.boxes.tolist() == [[112, 108, 192, 188], [140, 190, 160, 199], [400, 300, 440, 340]]
    assert after.labels.tolist() == [1, 2, 2]
    assert after.scores == pytest.approx([0.9, 0.4, 0.05])
    assert put_back(seen, part, before, 0.6, 2).labels.tolist() == [1, 2]


class Eyes(Detector):
    """Sees one top in the middle of a photo, and closer a bag on it, too."""

    def __init__(self, side: int) -> None:
        super().__init__(lambda pixels: [], DetectorConfig(("top", "bag"), min_score=0.5))
        self.side, self.looks = side, list[tuple[int, ...]]()

    def _found(self, images, threshold):
        self.looks += [image.shape[:2] for image in images]
        answers = []
        for image in images:
            y, x = image.shape[0] / 2, image.shape[1] / 2
            top = ((x - self.side / 2, y - self.side / 2, x + self.side / 2, y + self.side / 2), 0.6, 0)
            bag = ((x, y, x + self.side / 4, y + self.side / 4), 0.55, 1)
            answers.append(found(top) if image.shape == PHOTO.shape else found(top, bag))
        return answers


def test_a_detector_looks_closer_at_small_subjects_alone() -> None:
    eyes = Eyes(side=100)
    (seen,) = eyes.detect_batch([PHOTO])
    assert eyes.looks == [(400, 600), (140, 140)]
    assert seen.labels.tolist() == [0, 1] and seen.boxes[0].tolist() == [250, 150, 350, 250]
    assert len(eyes.detect_batch([PHOTO], 0.58)[0]) == 1
    large = Eyes(side=300)
    assert large.detect(PHOTO).labels.tolist() == [0] and large.looks == [(400, 600)]
