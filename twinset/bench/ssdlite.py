"""A network of the size of SSDLite on MobileNetV3-Large, seeded random weights: what a small detector costs elsewhere.

Howard et al., "Searching for MobileNetV3", ICCV 2019, table 1 with the last stage halved (section 6.3), and SSDLite's
heads (Sandler et al., "MobileNetV2", CVPR 2018, section 6.2), laid out as torchvision's ssdlite320_mobilenet_v3_large.
320x320, the network alone: no picture is decoded and no boxes are suppressed.
"""

from collections.abc import Callable

import numpy as np

from twinset.bench.graph import Graph, Network, open_network, random_weights

SIDE = 320
CLASSES = 14  # thirteen and the background
ANCHORS = 6  # a cell
# kernel, expansion, channels, squeeze and excite, activation, stride
BLOCKS = (
    (3, 16, 16, False, "Relu", 1),
    (3, 64, 24, False, "Relu", 2),
    (3, 72, 24, False, "Relu", 1),
    (5, 72, 40, True, "Relu", 2),
    (5, 120, 40, True, "Relu", 1),
    (5, 120, 40, True, "Relu", 1),
    (3, 240, 80, False, "HardSwish", 2),
    (3, 200, 80, False, "HardSwish", 1),
    (3, 184, 80, False, "HardSwish", 1),
    (3, 184, 80, False, "HardSwish", 1),
    (3, 480, 112, True, "HardSwish", 1),
    (3, 672, 112, True, "HardSwish", 1),
    (5, 672, 80, True, "HardSwish", 2),
    (5, 480, 80, True, "HardSwish", 1),
    (5, 480, 80, True, "HardSwish", 1),
)
FIRST_MAP = 12  # the block whose widened input is the first map that is searched
LAST, EXTRAS = 480, (512, 256, 256, 128)


def open_ssdlite(threads: int) -> Callable[[], object]:
    """Return a function that runs the network once."""
    network = build_ssdlite()
    run = open_network(network, random_weights(network), threads)
    pixels = np.random.default_rng(1).standard_normal((1, 3, SIDE, SIDE), np.float32)
    return lambda: run(pixels)


def build_ssdlite(classes: int = CLASSES) -> Network:
    """Return the network: pixels (1, 3, 320, 320) to scores (1, N, classes) and offsets (1, N, 4)."""
    net = _Builder()
    x, channels = net.conv("stem", "pixels", 3, 16, 3, 2, "HardSwish"), 16
    maps: list[tuple[str, int]] = []
    for i, block in enumerate(BLOCKS):
        x, wide = net.block(f"block{i}", x, channels, *block)
        maps += [(wide, block[1])] if i == FIRST_MAP else []
        channels = block[2]
    maps.append((net.conv("last", x, channels, LAST, 1, 1, "HardSwish"), LAST))
    for i, out in enumerate(EXTRAS):
        x, channels = maps[-1]
        x = net.conv(f"extra{i}.narrow", x, channels, out // 2, 1, 1, "Relu6")
        x = net.conv(f"extra{i}.depthwise", x, out // 2, out // 2, 3, 2, "Relu6", groups=out // 2)
        maps.append((net.conv(f"extra{i}.widen", x, out // 2, out, 1, 1, "Relu6"), out))
    parts: dict[str, list[str]] = {"scores": [], "offsets": []}
    for i, (level, depth) in enumerate(maps):
        for name, values in (("scores", classes), ("offsets", 4)):
            parts[name].append(net.head(f"{name}{i}", level, depth, values))
    graph = net.graph
    graph.node("Softmax", "scores", graph.node("Concat", "logits", *parts["scores"], axis=1), axis=2)
    graph.node("Concat", "offsets", *parts["offsets"], axis=1)
    cells = sum(side * side for side in (20, 10, 5, 3, 2, 1))
    wanted: dict[str, tuple[int, ...]] = {"scores": (1, ANCHORS * cells, classes), "offsets": (1, ANCHORS * cells, 4)}
    return graph.network(("pixels", (1, 3, SIDE, SIDE)), wanted)


class _Builder:
    """The layers of the network, each returning its output's name. Batch norms are folded: a bias named `norm`."""

    def __init__(self) -> None:
        self.graph = Graph()
        self._bounds = self.graph.constant("zero", 0.0), self.graph.constant("six", 6.0)

    def conv(
        self, name: str, x: str, c_in: int, c_out: int, kernel: int, stride: int, activation: str, groups: int = 1
    ) -> str:
        """Add a convolution, its batch norm's bias and an activation ("": none)."""
        graph = self.graph
        weight = graph.weight(f"{name}.weight", c_out, c_in // groups, kernel, kernel)
        sides: dict[str, int | list[int]] = {"strides": [stride] * 2, "pads": [kernel // 2] * 4, "group": groups}
        x = graph.node("Conv", f"{name}.conv", x, weight, graph.weight(f"{name}.norm", c_out), **sides)
        if activation == "Relu6":
            return graph.node("Clip", f"{name}.out", x, *self._bounds)
        return graph.node(activation, f"{name}.out", x) if activation else x

    def block(
        self, name: str, x: str, c_in: int, kernel: int, wide: int, c_out: int, squeeze: bool, act: str, stride: int
    ) -> tuple[str, str]:
        """Add an inverted bottleneck and return its output and its widened input."""
        widened = x if wide == c_in else self.conv(f"{name}.widen", x, c_in, wide, 1, 1, act)
        y = self.conv(f"{name}.depthwise", widened, wide, wide, kernel, stride, act, groups=wide)
        if squeeze:
            y = self._squeeze(f"{name}.squeeze", y, wide)
        y = self.conv(f"{name}.narrow", y, wide, c_out, 1, 1, "")
        if stride == 1 and c_in == c_out:
            y = self.graph.node("Add", f"{name}.sum", x, y)
        return y, widened

    def head(self, name: str, x: str, depth: int, values: int) -> str:
        """Add a predictor of `values` numbers for each anchor and return them as rows."""
        graph = self.graph
        x = self.conv(f"{name}.depthwise", x, depth, depth, 3, 1, "Relu6", groups=depth)
        x = self._pointwise(f"{name}.predict", x, depth, ANCHORS * values)
        x = graph.node("Transpose", f"{name}.last", x, perm=[0, 2, 3, 1])
        return graph.node("Reshape", f"{name}.rows", x, graph.constant(f"{name}.shape", [1, -1, values]))

    def _squeeze(self, name: str, x: str, channels: int) -> str:
        graph = self.graph
        few = max(8, int(channels / 4 + 4) // 8 * 8)
        few += 8 if few < 0.9 * channels / 4 else 0
        y = graph.node("GlobalAveragePool", f"{name}.mean", x)
        y = graph.node("Relu", f"{name}.relu", self._pointwise(f"{name}.narrow", y, channels, few))
        y = self._pointwise(f"{name}.widen", y, few, channels)
        gate = graph.node("HardSigmoid", f"{name}.gate", y, alpha=1 / 6, beta=0.5)
        return graph.node("Mul", f"{name}.out", x, gate)

    def _pointwise(self, name: str, x: str, c_in: int, c_out: int) -> str:
        weights = (self.graph.weight(f"{name}.weight", c_out, c_in, 1, 1), self.graph.weight(f"{name}.bias", c_out))
        return self.graph.node("Conv", f"{name}.out", x, *weights)
