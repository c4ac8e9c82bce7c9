import numpy as np
import pytest

from twinset.detect.operating import best_threshold


def test_best_threshold_is_between_the_last_that_helps_and_the_next() -> None:
    scores = np.array([0.9, 0.2, 0.7, 0.4])
    right = np.array([True, False, True, False])

    assert best_threshold(scores, right, total=2) == pytest.approx(0.55)


def test_best_threshold_goes_low_for_what_is_found_with_low_scores() -> None:
    scores = np.array([0.2, 0.15, 0.1])

    assert best_threshold(scores, np.array([True, True, True]), total=4) == pytest.approx(0.1)


def test_best_threshold_of_nothing_right_is_the_middle() -> None:
    assert best_threshold(np.zeros(0), np.zeros(0, bool), total=3) == 0.5
