"""Choose on dev how much kind, colour, shades and look count in the embedding."""

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from twinset.backbone import denormals_as_zero
from twinset.describe.augment import ViewSettings, make_view
from twinset.describe.distance import logs_of
from twinset.describe.embedded import Embedded
from twinset.describe.labels import Head, Labels
from twinset.describe.network import DIMS, EncoderNet, join
from twinset.describe.rank_labels import label_weights
from twinset.describe.samples import ItemSample
from twinset.types import Image

log = logging.getLogger(__name__)
COLOUR_WEIGHTS = (0.1, 0.2)
SHADES_WEIGHTS = (0.2, 0.3, 0.35, 0.4, 0.45, 0.5)
LOOK_WEIGHTS = (0.1, 0.15, 0.2, 0.3)
LEAST_KIND = 0.1  # what the others leave it
CLOSE = 0.02  # in the sum of six shares
RIGHT = ("type", "colour", "both", "type_unweighted", "colour_unweighted", "both_unweighted")
INSTANCE = 0.7  # share of street views that is to find its product first: beyond, they say more of light than shoppers
# Nearly as it is indexed: stretched a little, mirrored or not, so that no classifier learns the very pictures by heart.
STILL = ViewSettings(box=0, light=0, tint=0, bend=0, degrade=0)


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Samples and the parts of their embeddings."""

    samples: Sequence[ItemSample]
    parts: tuple[Tensor, ...]  # kind, colour, shades, look; (N, D) each

    def joined(self, weights: Sequence[float]) -> NDArray[np.float32]:
        """Return the (N, 256) unit embeddings."""
        embeddings: NDArray[np.float32] = join(self.parts, weights).numpy()
        return embeddings

    @classmethod
    def of(cls, embedded: Embedded) -> "Parts":
        """Return the parts that were joined in embeddings."""
        parts = np.split(embedded.embeddings, np.cumsum(DIMS)[:-1], axis=1)
        return cls(embedded.samples, tuple(F.normalize(torch.from_numpy(part), dim=1) for part in parts))


Weights = tuple[float, float, float, float]
Heads = Callable[[Weights], Mapping[str, Head]]  # the classifiers of the embedding that has these weights


def choose_weights(shown: Parts, asked: Parts, moved: Parts, heads: Heads) -> tuple[Weights, dict[str, float]]:
    """Return the weights that do best on dev, and their figures.

    Best is the sum of how often the first hit of a query among the gallery has its article type, its base colour, both:
    as searches rank, and by the vectors alone, as for a feed that says neither. Of weights within `CLOSE` of the best
    and with which `INSTANCE` of the street views in `moved` find the query itself first among all (synthetic), those
    with most shades: of what a feed doesn't say, ranking by labels brings nothing back. Where none reach `INSTANCE`,
    those that come nearest.
    """
    trials = []
    apart = _logs(moved, asked, shown)
    for colour, shades, look in (
        itertools.product(COLOUR_WEIGHTS, SHADES_WEIGHTS, LOOK_WEIGHTS) if asked.samples else ()
    ):
        weights = (round(1 - colour - shades - look, 2), colour, shades, look)
        if weights[0] < LEAST_KIND:
            continue
        figures = _figures(shown, asked, apart, weights, heads(weights))
        log.info("weights %s: %s", weights, figures)
        trials.append((weights, figures))
    if not trials:
        return (0.4, 0.2, 0.2, 0.2), {}
    best = max(_right(figures) for _, figures in trials)
    close = [trial for trial in trials if _right(trial[1]) >= best - CLOSE]
    return max(close, key=lambda trial: (min(trial[1]["instance"], INSTANCE), trial[0][2], _right(trial[1])))


def _right(figures: Mapping[str, float]) -> float:
    return sum(figures[name] for name in RIGHT)


def _logs(views: Parts, asked: Parts, shown: Parts) -> NDArray[np.float32]:
    """Return (P, Q, Q + N) logarithms of how far each part of the views is from that of all products, `asked` first."""
    products = (torch.cat([own, others]) for own, others in zip(asked.parts, shown.parts, strict=True))
    return np.stack([logs_of((part @ all_.T).numpy()) for part, all_ in zip(views.parts, products, strict=True)])


def _figures(
    shown: Parts, asked: Parts, apart: NDArray[np.float32], weights: Weights, heads: Mapping[str, Head]
) -> dict[str, float]:
    gallery, queries = (Embedded(part.samples, part.joined(weights)) for part in (shown, asked))
    labels = Labels(heads["article_type"], heads["colour"], heads["gender"], heads["words"], parts=DIMS)
    _, ranked = label_weights(labels, gallery, queries)
    nearest = np.tensordot(np.array(weights, np.float32), apart, 1).argmin(1)
    figures = {name: ranked.get(f"first_{name}", 0.0) for name in RIGHT}
    return {**figures, "instance": round(float((nearest == np.arange(len(nearest))).mean()), 4)}


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
        parts.append(net(pixels.contiguous(memory_format=torch.channels_last))[:-1])
    joined = zip(*parts, strict=True) if parts else (torch.zeros(0, dim)[None] for dim in DIMS)
    return Parts(samples, tuple(torch.cat(tuple(part)) for part in joined))
