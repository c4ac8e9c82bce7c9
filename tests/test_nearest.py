"""Two passes find what a scan of all vectors in fp32 finds, on whatever vectors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinset.store import nearest as module
from twinset.store.nearest import encode, nearest, scan_is_exact


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def by_hand(exact, query, k, rows, keys, allowed):
    """The k best keys and what ties with the last, by a plain loop."""
    best = {}
    for row in range(rows.start, rows.stop):
        if allowed is None or allowed[row - rows.start]:
            score = min(max(round(float(exact[row].astype(np.float64) @ query.astype(np.float64)), 5), 0.0), 1.0)
            if keys[row] not in best or score > best[keys[row]][0]:
                best[keys[row]] = score, row
    ranked = sorted(best.values(), key=lambda pair: (-pair[0], pair[1]))
    return [pair for i, pair in enumerate(ranked) if i < k or pair[0] == ranked[k - 1][0]]


@given(st.integers(0, 2**32 - 1), st.sampled_from(["spread", "crowded", "copies", "opposite"]), st.integers(1, 40))
def test_two_passes_find_what_one_would(seed, kind, k):
    rng = np.random.default_rng(seed)
    n = 3000
    noise = {"spread": 1.0, "crowded": 0.001, "copies": 0.0, "opposite": 1.0}[kind]
    centres = unit(rng.standard_normal((5, 64)))
    vectors = centres[rng.integers(5, size=n)] + noise * rng.standard_normal((n, 64)) / 8
    vectors = encode(unit(vectors))
    query = unit(centres[0] + 0.01 * rng.standard_normal(64)) * (-1 if kind == "opposite" else 1)
    keys = np.sort(rng.integers(n // 2, size=n)).astype(np.int32)
    rows = slice(int(rng.integers(200)), n - int(rng.integers(200)))
    allowed = rng.random(rows.stop - rows.start) < 0.5 if rng.random() < 0.5 else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "EXACT_ROWS", 0)
        patch.setattr(module, "EXACT_SHARE", 10**9)
        patch.setattr(module, "BLOCK", 700)
        patch.setattr(module, "SHARE", 1000)
        found, scores = nearest(vectors, query, k, rows, keys, allowed)
    expected = by_hand(vectors.exact, query, k, rows, keys, allowed)
    # fp32 sums may round the other way in the last decimal
    np.testing.assert_allclose(scores[:k], [score for score, _ in expected[:k]], atol=1.1e-5)
    assert len(set(keys[found].tolist())) == len(found) >= min(k, len(expected))
    assert all(score >= scores[min(k, len(scores)) - 1] for score in scores)
    sure = {int(keys[row]) for score, row in expected if score > expected[min(k, len(expected)) - 1][0] + 2e-5}
    assert sure <= set(keys[found].tolist())


def test_codes_stray_no_further_than_they_say():
    exact = unit(np.random.default_rng(0).standard_normal((50, 256)) ** 5)  # a few numbers much larger than the rest
    vectors = encode(exact)
    strayed = np.linalg.norm(exact - vectors.codes * vectors.steps[:, None], axis=1)
    assert strayed.max() == pytest.approx(vectors.error) and vectors.error < 0.03
    assert vectors.codes.max() == 127


def test_no_vectors_have_no_nearest():
    vectors = encode(np.zeros((0, 256), np.float32))
    found, scores = nearest(vectors, unit(np.ones(256)), 5, slice(0, 0), np.zeros(0, np.int32))
    assert len(found) == len(scores) == 0 and vectors.error == 0


@pytest.mark.parametrize(
    ("kept", "rows", "exact"), [(4096, 4096, True), (5000, 400_000, True), (50_000, 400_000, False)]
)
def test_few_rows_are_scanned_at_once(kept, rows, exact):
    assert scan_is_exact(kept, rows) == exact
