"""Train classifiers with a hidden layer on embeddings of shops' pictures and street photos together."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from twinset.describe.labels import DeepHead

HIDDEN = 512
BATCH = 128
EPOCHS = 25
RATE = 2e-3  # of AdamW, at its peak
DECAY = 0.05
DROPOUT = 0.2, 0.5  # of the input, of the hidden layer
SMOOTHING = 0.05


def train_deep_head(
    embeddings: NDArray[np.float32], labels: NDArray[np.int64], names: Sequence[str], scale: NDArray[np.float32]
) -> DeepHead:
    """Return a classifier of embeddings (N, 256) by their labels (N,), the same every time.

    `scale` (256,) makes the embeddings' parts equally long, so that how they are weighed is no matter.
    """
    x, y = torch.from_numpy(embeddings * scale), torch.from_numpy(labels)
    steps = -(-len(y) // BATCH)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Dropout(DROPOUT[0]),
            nn.Linear(x.shape[1], HIDDEN),
            nn.ReLU(),
            nn.Dropout(DROPOUT[1]),
            nn.Linear(HIDDEN, len(names)),
        )
        optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=EPOCHS * steps)
        for _ in range(EPOCHS):
            for chosen in torch.split(torch.randperm(len(y)), BATCH):
                optimizer.zero_grad()
                loss = F.cross_entropy(net(x[chosen]), y[chosen], label_smoothing=SMOOTHING)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
    hidden_weights, hidden_bias, weights, bias = (p.detach().numpy() for p in net.parameters())
    return DeepHead(tuple(names), hidden_weights * scale, hidden_bias, weights, bias)
