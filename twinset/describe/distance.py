"""How far apart two items are: the geometric mean of how far their kinds, colours, shades and looks are.

An embedding joins a few unit vectors, each by the root of its weight, so that a cosine is the mean of their cosines.
Photos of one product often differ much in one of them, its back or another light, and hardly in the others: a product
says so, a sum does not. Of dev's street views (synthetic) the very product is nearest of all for 80 % instead of 72 %
(`instance`, as `twinset export encoder default --reweigh` logs it), and first hits have the right type and colour as
often where feeds say them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
FLOOR = np.float32(0.05)  # added to each distance: a part that agrees wholly settles nothing alone


def logs_of(cosines: Floats) -> Floats:
    """Return the logarithms of the distances of parts that have these cosines; `distance_of` takes their mean."""
    return np.log(np.maximum(1 - cosines, 0) + FLOOR)


def distance_of(logs: Floats) -> Floats:
    """Return distances, 0 for the same picture, of the weighed means of their parts' logarithms."""
    return np.maximum(np.exp(logs) - FLOOR, 0)


def distances(queries: Floats, others: Floats, parts: Sequence[int]) -> Floats:
    """Return (..., K) how far each of some unit embeddings (..., D) is from those (..., K, D) compared with it.

    `parts` says how many numbers of an embedding each of its parts has; a part counts by its length squared.
    Without parts, or where there is but one, a distance is `1 - cosine`.
    """
    asked = queries[..., None, :]
    if len(parts) < 2:
        return np.asarray(1 - (asked * others).sum(-1), np.float32)
    starts = np.cumsum([0, *parts[:-1]])
    own, theirs, products = (
        np.add.reduceat(values, starts, axis=-1) for values in (asked * asked, others * others, asked * others)
    )
    cosines = products / np.sqrt(np.maximum(own * theirs, np.float32(1e-12)))
    return distance_of((logs_of(cosines) * own / own.sum(-1, keepdims=True)).sum(-1))
