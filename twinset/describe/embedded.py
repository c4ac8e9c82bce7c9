"""Samples and what the network makes of them: all that labels.json is fitted to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twinset.describe.network import DIMS
from twinset.describe.samples import UNKNOWN, ItemSample

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Samples and their unit embeddings (N, 256)."""

    samples: Sequence[ItemSample]
    embeddings: Floats

    def labels(self, name: str) -> NDArray[np.int64]:
        return np.array([getattr(sample, name) for sample in self.samples], np.int64)

    def known(self, name: str) -> tuple[Floats, NDArray[np.int64]]:
        """Return the embeddings of the samples that have a label, and their labels."""
        labels = self.labels(name)
        return self.embeddings[labels != UNKNOWN], labels[labels != UNKNOWN]


NOTHING = Embedded((), np.zeros((0, sum(DIMS)), np.float32))
