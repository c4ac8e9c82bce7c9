"""What an encoder's training starts with: ImageNet's backbone, or all that an exported encoder has learned."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from twinset.describe.labels import Head, load_labels
from twinset.describe.network import DIMS, EncoderNet, Tasks
from twinset.describe.samples import Vocabulary
from twinset.detect.build import take_over
from twinset.detect.export import read_weights
from twinset.errors import DataError


def start_from_exported(net: EncoderNet, tasks: Tasks, vocabulary: Vocabulary, file: Path) -> None:
    """Give the network the weights in an exported encoder.onnx, and classifiers those of labels.json beside it.

    A classifier's rows are taken over by name; what the vocabulary calls otherwise starts anew. Raises DataError,
    ModelError.
    """
    own, stored = net.state_dict(), read_weights(file, net)
    needed = (name for name in own if not name.endswith("num_batches_tracked"))
    if missing := [name for name in needed if name not in stored or stored[name].shape != own[name].shape]:
        raise DataError(
            f"{file}: expected the weights of an encoder with this backbone, found no {missing[0]}; choose another file"
        )
    net.load_state_dict({name: stored[name] for name in own if name in stored}, strict=False)
    labels = load_labels(file.parent)
    if labels is None:
        return
    heads: dict[str, tuple[Head | None, Sequence[str]]] = {
        "type": (labels.article_type, vocabulary.article_types),
        "colour_base": (labels.colour, vocabulary.base_colours),
        "gender": (labels.gender, labels.gender.names),
        "words": (labels.words, vocabulary.words),
        "category": (labels.category, vocabulary.categories),
    }
    for task, matrix in zip(tasks.names, tasks.weights, strict=True):
        head, names = heads.get(task, (None, ()))
        if head is not None and names:
            start = DIMS[0] if task.startswith("colour") else 0  # where its part is in the embedding
            rows = F.normalize(torch.from_numpy(head.weights[:, start : start + matrix.shape[1]]), dim=1)
            with torch.no_grad():
                matrix.copy_(take_over(matrix, names, rows * matrix.norm(dim=1).mean(), head.names))
