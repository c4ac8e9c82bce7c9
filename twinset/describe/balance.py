"""Choose on dev how much kind, colour and look count in the embedding."""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twinset.backbone import denormals_as_zero
from twinset.describe.augment import ViewSettings, make_view
from twinset.describe.network import DIMS, EncoderNet, join
from twinset.describe.samples import ItemSample
from twinset.types import Image

log = logging.getLogger(__name__)
COLOUR_WEIGHTS = (0.1, 0.2, 0.3, 0.4)
LOOK_WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5)
STILL = ViewSettings(box=0, light=0, tint=0, bend=0, degrade=0)  # as it is indexed


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Samples and the parts of their embeddings."""

    samples: Sequence[ItemSample]
    parts: tuple[Tensor, ...]  # kind, colour, look; (N, D) each

    def labels(self, name: str) -> NDArray[np.int64]:
        return np.array([getattr(sample, name) for sample in self.samples], np.int64)

    def joined(self, weights: Sequence[float]) -> NDArray[np.float32]:
        """Return the (N, 256) unit embeddings."""
        embeddings: NDArray[np.float32] = join(self.parts, weights).numpy()
        return embeddings


def choose_weights(shown: Parts, asked: Parts, moved: Parts) -> tuple[tuple[float, float, float], dict[str, float]]:
    """Return the weights that do best on dev, and their figures.

    Best is the sum of: the first hit of a query among the gallery has its article type, its base colour, both; and a
    street view of a query, in `moved`, finds the query itself first among all (`instance`, synthetic).
    """
    best, best_figures = (0.5, 0.3, 0.2), dict[str, float]()
    if not asked.samples:
        return best, best_figures
    for colour, look in itertools.product(COLOUR_WEIGHTS, LOOK_WEIGHTS):
        weights = (round(1 - colour - look, 2), colour, look)
        figures = _figures(shown, asked, moved, weights)
        log.info("weights %s: %s", weights, figures)
        if sum(figures.values()) > sum(best_figures.values()):
            best, best_figures = weights, figures
    return best, best_figures


def _figures(shown: Parts, asked: Parts, moved: Parts, weights: tuple[float, float, float]) -> dict[str, float]:
    gallery, queries, views = (join(embedded.parts, weights) for embedded in (shown, asked, moved))
    first = (queries @ gallery.T).argmax(1).numpy()
    right_type = asked.labels("article_type") == shown.labels("article_type")[first]
    right_colour = asked.labels("base_colour") == shown.labels("base_colour")[first]
    own = (views * queries).sum(1)
    others = views @ torch.cat([gallery, queries]).T
    others[torch.arange(len(views)), len(gallery) + torch.arange(len(views))] = -1
    return {
        "type": round(float(right_type.mean()), 4),
        "colour": round(float(right_colour.mean()), 4),
        "both": round(float((right_type & right_colour).mean()), 4),
        "instance": round(float((own > others.amax(1)).float().mean()), 4),
    }


@denormals_as_zero()
@torch.no_grad()
def embed_parts(
    net: EncoderNet,
    samples: Sequence[ItemSample],
    size: int,
    settings: ViewSettings = STILL,
    scenes: Sequence[Image] = (),
    batch: int = 64,
) -> Parts:
    """Return samples' embeddings, of views as they are indexed or as `settings` say."""
    rng = np.random.default_rng(0)
    net.eval()
    parts: list[tuple[Tensor, ...]] = []
    for start in range(0, len(samples), batch):
        views = [make_view(sample, size, settings, scenes, rng).pixels for sample in samples[start : start + batch]]
        pixels = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).float()
        parts.append(net(pixels.contiguous(memory_format=torch.channels_last))[:3])
    joined = zip(*parts, strict=True) if parts else (torch.zeros(0, dim)[None] for dim in DIMS)
    return Parts(samples, tuple(torch.cat(tuple(part)) for part in joined))
