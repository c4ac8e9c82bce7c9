"""The yardstick of every benchmark: one forward pass of a ViT-B/16-size encoder.

Machines differ, so a time alone says little: it is given beside this one. The network is the real thing with seeded
random weights (Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, table 1): 224x224, batch 1, ONNX Runtime
fp32, 2 threads. It is written as ONNX here, without the onnx package, so that a shop can run it on a bare install.
"""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twinset.bench.timing import time_ms

THREADS = 2
OPSET = 20  # the first with Gelu
IR_VERSION = 9
_FLOAT, _INT64, _EXTERNAL = 1, 7, 1  # TensorProto's
_INT, _INTS = 2, 7  # AttributeProto's


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


@dataclass(frozen=True, slots=True)
class Vit:
    """An ONNX model whose weights are given to the session beside it."""

    model: bytes  # input `pixels` (1, 3, side, side), output `embedding` (1, 1, width), the class token's
    weights: dict[str, tuple[int, ...]]  # name -> shape


def yardstick_ms(threads: int = THREADS, repeats: int = 20) -> float:
    """Return the median milliseconds of the yardstick."""
    return statistics.median(time_ms(open_yardstick(threads), repeats))


def open_yardstick(threads: int = THREADS) -> Callable[[], object]:
    """Return a function that runs the yardstick once."""
    vit = build_vit(VitSize())
    run = open_vit(vit, random_weights(vit), threads)
    pixels = np.random.default_rng(1).standard_normal((1, 3, VitSize().side, VitSize().side), np.float32)
    return lambda: run(pixels)


def random_weights(vit: Vit, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Return weights as a network has them before training: matrices small and random, scales one, biases zero."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in vit.weights.items():
        matrix = 0.02 * rng.standard_normal(shape, np.float32) if len(shape) > 1 else np.zeros(shape, np.float32)
        weights[name] = matrix + np.float32(name.endswith(".scale"))
    return weights


def open_vit(
    vit: Vit, weights: dict[str, NDArray[np.float32]], threads: int = THREADS
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return a function from pixels to the embedding."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    values = [ort.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
    options.add_external_initializers(list(weights), values)
    session = ort.InferenceSession(vit.model, options, providers=["CPUExecutionProvider"])

    def run(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        embedding: NDArray[np.float32] = session.run(None, {"pixels": pixels})[0]
        return embedding

    return run


def build_vit(size: VitSize) -> Vit:
    """Return a vision transformer: patches, pre-norm layers of attention and MLP, a last norm, the class token."""
    graph = _Graph()
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
    model = graph.model(("pixels", (1, 3, size.side, size.side)), ("embedding", (1, 1, width)))
    return Vit(model, graph.weights)


# --- ONNX, the little of it that is needed: onnx.proto3 gives the numbers ---------------------------------------------


class _Graph:
    """Nodes in order, and the tensors they use."""

    def __init__(self) -> None:
        self.weights: dict[str, tuple[int, ...]] = {}
        self._nodes: list[bytes] = []
        self._tensors: list[bytes] = []

    def weight(self, name: str, *shape: int) -> str:
        """Add a tensor whose values are given later."""
        self.weights[name] = shape
        place = _field(13, _field(1, "location") + _field(2, "given to the session"))
        self._tensors.append(_dims(shape) + _field(2, _FLOAT) + _field(8, name) + place + _field(14, _EXTERNAL))
        return name

    def constant(self, name: str, value: list[int] | float) -> str:
        """Add a list of integers or one number."""
        array = np.array(value, np.int64 if isinstance(value, list) else np.float32)
        kind = _field(2, _INT64 if isinstance(value, list) else _FLOAT)
        self._tensors.append(_dims(array.shape) + kind + _field(8, name) + _field(9, array.tobytes()))
        return name

    def node(self, kind: str, output: str, *inputs: str, **attributes: int | list[int]) -> str:
        """Add a node and return its output."""
        data = b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, kind)
        for name, value in attributes.items():
            if isinstance(value, list):
                attribute = b"".join(_field(8, each) for each in value) + _field(20, _INTS)
            else:
                attribute = _field(3, value) + _field(20, _INT)
            data += _field(5, _field(1, name) + attribute)
        self._nodes.append(data)
        return output

    def model(self, given: tuple[str, tuple[int, ...]], wanted: tuple[str, tuple[int, ...]]) -> bytes:
        """Return the ONNX model from the input `given` to the output `wanted`, each a name and a shape."""
        graph = b"".join(_field(1, node) for node in self._nodes) + _field(2, "vit")
        graph += b"".join(_field(5, tensor) for tensor in self._tensors)
        graph += _field(11, _float_value(*given)) + _field(12, _float_value(*wanted))
        return _field(1, IR_VERSION) + _field(8, _field(1, "") + _field(2, OPSET)) + _field(7, graph)


def _float_value(name: str, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(_field(1, _field(1, side)) for side in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, _FLOAT) + _field(2, dims)))


def _dims(shape: tuple[int, ...]) -> bytes:
    return b"".join(_field(1, side) for side in shape)


def _field(number: int, value: int | str | bytes) -> bytes:
    """Return a protobuf field: a whole number, or bytes with their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
