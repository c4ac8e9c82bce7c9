"""Choose on dev how much kind, colour and look count in the embedding."""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twinset.describe.augment import STREET_VIEW, ViewSettings, make_view
from twinset.describe.network import EncoderNet, join
from twinset.describe.samples import ItemSample
from twinset.types import Image

log = logging.getLogger(__name__)
COLOUR_WEIGHTS = (0.1, 0.2, 0.3, 0.4)
LOOK_WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5)
STILL = ViewSettings(box=0, light=0, tint=0, bend=0, degrade=0)  # as it is indexed


@dataclass(frozen=True, slots=True, eq=False)
class _Embedded:
    parts: tuple[Tensor, ...]  # kind, colour, look; (N, D) each
    types: NDArray[np.int64]
    colours: NDArray[np.int64]


def choose_weights(
    net: EncoderNet,
    gallery: Sequence[ItemSample],
    queries: Sequence[ItemSample],
    scenes: Sequence[Image],
    size: int,
) -> tuple[tuple[float, float, float], dict[str, float]]:
    """Return the weights that do best on dev, and their figures.

    Best is the sum of: the first hit of a query among the gallery has its article type, its base colour, both; and a
    street view of a query finds the query itself first among all (`instance`, synthetic).
    """
    best, best_figures = (0.5, 0.3, 0.2), dict[str, float]()
    if not queries:
        return best, best_figures
    shown, asked = _embed(net, gallery, size), _embed(net, queries, size)
    moved = _embed(net, queries, size, STREET_VIEW, scenes)
    for colour, look in itertools.product(COLOUR_WEIGHTS, LOOK_WEIGHTS):
        weights = (round(1 - colour - look, 2), colour, look)
        figures = _figures(shown, asked, moved, weights)
        log.info("weights %s: %s", weights, figures)
        if sum(figures.values()) > sum(best_figures.values()):
            best, best_figures = weights, figures
    return best, best_figures


def _figures(
    shown: _Embedded, asked: _Embedded, moved: _Embedded, weights: tuple[float, float, float]
) -> dict[str, float]:
    gallery, queries, views = (join(embedded.parts, weights) for embedded in (shown, asked, moved))
    first = (queries @ gallery.T).argmax(1).numpy()
    right_type = asked.types == shown.types[first]
    right_colour = asked.colours == shown.colours[first]
    own = (views * queries).sum(1)
    others = views @ torch.cat([gallery, queries]).T
    others[torch.arange(len(views)), len(gallery) + torch.arange(len(views))] = -1
    return {
        "type": round(float(right_type.mean()), 4),
        "colour": round(float(right_colour.mean()), 4),
        "both": round(float((right_type & right_colour).mean()), 4),
        "instance": round(float((own > others.amax(1)).float().mean()), 4),
    }


@torch.no_grad()
def _embed(
    net: EncoderNet,
    samples: Sequence[ItemSample],
    size: int,
    settings: ViewSettings = STILL,
    scenes: Sequence[Image] = (),
    batch: int = 64,
) -> _Embedded:
    rng = np.random.default_rng(0)
    net.eval()
    parts: list[tuple[Tensor, ...]] = []
    for start in range(0, len(samples), batch):
        views = [make_view(sample, size, settings, scenes, rng).pixels for sample in samples[start : start + batch]]
        pixels = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).float()
        parts.append(net(pixels.contiguous(memory_format=torch.channels_last))[:3])
    return _Embedded(
        tuple(torch.cat(part) for part in zip(*parts, strict=True)),
        np.array([s.article_type for s in samples]),
        np.array([s.base_colour for s in samples]),
    )
