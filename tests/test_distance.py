"""How far apart embeddings are, by their parts."""

import numpy as np
import pytest

from twinset.describe.distance import distances


def test_distances_of_one_part_are_those_of_cosines_and_none_of_the_same_picture():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(5, 256)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for parts in ((), (256,)):
        np.testing.assert_allclose(distances(rows[:2], rows[None, 2:], parts), 1 - rows[:2] @ rows[2:].T, atol=1e-6)
    own = distances(rows, rows[None].repeat(5, 0), (100, 100, 56))
    assert own.shape == (5, 5) and np.abs(np.diag(own)).max() < 1e-5 and (own[~np.eye(5, dtype=bool)] > 0.5).all()


def test_what_agrees_in_one_part_is_nearer_than_what_agrees_by_half_in_both():
    query, one, halves = (
        np.array(row, np.float32) / 2**0.5 for row in ([1, 0, 1, 0], [0, 1, 1, 0], [0.5, 0.75**0.5] * 2)
    )
    assert [query @ one, query @ halves] == pytest.approx([0.5, 0.5])
    near, far = distances(query, np.stack([one, halves]), (2, 2))
    assert near < 0.2 and abs(far - 0.5) < 1e-6
