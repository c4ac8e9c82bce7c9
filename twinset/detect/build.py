"""Build the network that is trained: ImageNet's backbone, or the weights of a detector that was exported before.

Of another detector's classifier the rows of the categories both know are taken over by name; new ones start anew.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor

from twinset.backbone import EfficientNetLite, load_imagenet
from twinset.detect.detector import load_config
from twinset.detect.export import read_weights
from twinset.detect.network import WIDTH, AnchorFreeHead, DetectorNet
from twinset.detect.ssd import SsdHead
from twinset.errors import DataError


class NetSettings(Protocol):
    """The settings that decide on the network."""

    @property
    def head(self) -> str: ...
    @property
    def backbone(self) -> str: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def frozen_blocks(self) -> int: ...


def build_net(settings: NetSettings, categories: Sequence[str], start_from: Path | None = None) -> DetectorNet:
    """Return the network with ImageNet's backbone, or with an exported detector.onnx's weights where they fit.

    Its detector.json beside it says which categories those are of. Raises DataError, ModelError.
    """
    backbone = EfficientNetLite(settings.backbone) if start_from else load_imagenet(settings.backbone)
    backbone.freeze(settings.frozen_blocks)
    area = settings.height * settings.width
    ssd = settings.head == "ssd"
    head = SsdHead(WIDTH, len(categories), area) if ssd else AnchorFreeHead(WIDTH, len(categories))
    net = DetectorNet(backbone, head)
    if start_from:
        _load(net, settings, categories, start_from)
    return net


def _load(net: DetectorNet, settings: NetSettings, categories: Sequence[str], file: Path) -> None:
    own = net.state_dict()
    stored = read_weights(file, net)
    before = load_config(file.with_suffix(".json")).categories
    fitting = {name: tensor for name, tensor in stored.items() if name in own and own[name].shape == tensor.shape}
    for name in (name for name in own if ".classify." in name and name in stored):
        fitting[name] = take_over(own[name], categories, stored[name], before)
    needed = [name for name in own if not name.endswith("num_batches_tracked")]
    if missing := [name for name in needed if name not in fitting]:
        expected = f"a {settings.backbone} detector's weights with the {settings.head} head"
        raise DataError(f"{file}: expected {expected}, found no {missing[0]}; choose --head and --backbone")
    net.load_state_dict(fitting, strict=False)


def take_over(own: Tensor, categories: Sequence[str], stored: Tensor, before: Sequence[str]) -> Tensor:
    """Return a classifier's weights or biases with the stored rows of the categories known to both, by name.

    Rows (A * C, ...) run over the categories A times, once for each anchor of a cell.
    """
    both = [(i, before.index(name)) for i, name in enumerate(categories) if name in before]
    mine = own.clone().reshape(-1, len(categories), *own.shape[1:])
    theirs = stored.reshape(-1, len(before), *stored.shape[1:])
    if both and mine.shape[0] == theirs.shape[0]:
        to, start = zip(*both, strict=True)
        mine[:, list(to)] = theirs[:, list(start)]
    return mine.reshape(own.shape)
