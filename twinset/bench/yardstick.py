"""The yardstick of every benchmark: one forward pass of a ViT-B/16-size encoder.

Machines differ, so a time alone says little: it is given beside this one. The network is the real thing with seeded
random weights (Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, table 1): 224x224, batch 1, ONNX Runtime
fp32, 2 threads. It is written as ONNX by graph.py, so that a shop can run it on a bare install.
"""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from twinset.bench.graph import Graph, Network, open_network, random_weights
from twinset.bench.timing import time_ms

THREADS = 2


@dataclass(frozen=True, slots=True)
class VitSize:
    """ViT-B/16's by default."""

    layers: int = 12
    width: int = 768
    heads: int = 12
    patch: int = 16  # pixels of a side
    side: int = 224

    @property
    def tokens(self) -> int:
        return (self.side // self.patch) ** 2 + 1


def yardstick_ms(threads: int = THREADS, repeats: int = 20) -> float:
    """Return the median milliseconds of the yardstick."""
    return statistics.median(time_ms(open_yardstick(threads), repeats))


def open_yardstick(threads: int = THREADS) -> Callable[[], object]:
    """Return a function that runs the yardstick once."""
    vit = build_vit(VitSize())
    run = open_network(vit, random_weights(vit), threads)
    pixels = np.random.default_rng(1).standard_normal((1, 3, VitSize().side, VitSize().side), np.float32)
    return lambda: run(pixels)


def build_vit(size: VitSize) -> Network:
    """Return a vision transformer: patches, pre-norm layers of attention and MLP, a last norm, the class token."""
    graph = Graph()
    node, weight = graph.node, graph.weight
    width, tokens, per_head = size.width, size.tokens, size.width // size.heads

    def linear(x: str, name: str, c_in: int, c_out: int) -> str:
        product = node("MatMul", f"{name}.product", x, weight(f"{name}.weight", c_in, c_out))
        return node("Add", f"{name}.out", product, weight(f"{name}.bias", c_out))

    def norm(x: str, name: str) -> str:
        return node(
            "LayerNormalization", f"{name}.out", x, weight(f"{name}.scale", width), weight(f"{name}.bias", width)
        )

    split = graph.constant("split", [1, tokens, size.heads, per_head])
    joined = graph.constant("joined", [1, tokens, width])
    root = graph.constant("root", math.sqrt(per_head))
    kernel = weight("patch.weight", width, 3, size.patch, size.patch)
    patches = node("Conv", "patches", "pixels", kernel, weight("patch.bias", width), strides=[size.patch, size.patch])
    flat = node("Reshape", "flat", patches, graph.constant("flat.shape", [1, width, tokens - 1]))
    x = node("Transpose", "patch.tokens", flat, perm=[0, 2, 1])
    x = node("Concat", "tokens", weight("class", 1, 1, width), x, axis=1)
    x = node("Add", "start", x, weight("position", 1, tokens, width))
    for i in range(size.layers):
        inner = norm(x, f"{i}.norm1")
        heads = []
        for part, perm in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
            rows = node("Reshape", f"{i}.{part}.rows", linear(inner, f"{i}.{part}", width, width), split)
            heads.append(node("Transpose", f"{i}.{part}.heads", rows, perm=perm))
        scores = node("Div", f"{i}.scores", node("MatMul", f"{i}.products", heads[0], heads[1]), root)
        mixed = node("MatMul", f"{i}.mixed", node("Softmax", f"{i}.shares", scores), heads[2])
        rows = node("Transpose", f"{i}.mixed.rows", mixed, perm=[0, 2, 1, 3])
        attended = linear(node("Reshape", f"{i}.joined", rows, joined), f"{i}.project", width, width)
        x = node("Add", f"{i}.middle", x, attended)
        hidden = node("Gelu", f"{i}.gelu", linear(norm(x, f"{i}.norm2"), f"{i}.widen", width, 4 * width))
        x = node("Add", f"{i}.end", x, linear(hidden, f"{i}.narrow", 4 * width, width))
    node("Gather", "embedding", norm(x, "norm"), graph.constant("first", [0]), axis=1)
    return graph.network(("pixels", (1, 3, size.side, size.side)), {"embedding": (1, 1, width)})
