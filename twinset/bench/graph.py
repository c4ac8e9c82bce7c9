"""Write networks as ONNX without the onnx package, for benchmarks on a bare install; onnx.proto3 gives the numbers.

Weights are not in the model: they are given to the session beside it, random and seeded.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OPSET = 20  # the first with Gelu
IR_VERSION = 9
_FLOAT, _INT64, _EXTERNAL = 1, 7, 1  # TensorProto's; AttributeProto's FLOAT is 1 too
_INT, _INTS = 2, 7  # AttributeProto's


@dataclass(frozen=True, slots=True)
class Network:
    """An ONNX model whose weights are given to the session beside it."""

    model: bytes
    weights: dict[str, tuple[int, ...]]  # name -> shape
    given: str  # the input's name


def random_weights(network: Network, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Return weights as a network has them before training: matrices small and random, scales one, biases zero."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in network.weights.items():
        matrix = 0.02 * rng.standard_normal(shape, np.float32) if len(shape) > 1 else np.zeros(shape, np.float32)
        weights[name] = matrix + np.float32(name.endswith(".scale"))
    return weights


def open_network(
    network: Network, weights: dict[str, NDArray[np.float32]], threads: int
) -> Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Return a function from the input to the outputs, on ONNX Runtime."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    values = [ort.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
    options.add_external_initializers(list(weights), values)
    session = ort.InferenceSession(network.model, options, providers=["CPUExecutionProvider"])

    def run(pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        outputs: list[NDArray[np.float32]] = session.run(None, {network.given: pixels})
        return outputs

    return run


class Graph:
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

    def node(self, kind: str, output: str, *inputs: str, **attributes: int | float | list[int]) -> str:
        """Add a node and return its output."""
        data = b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, kind)
        for name, value in attributes.items():
            if isinstance(value, list):
                attribute = b"".join(_field(8, each) for each in value) + _field(20, _INTS)
            elif isinstance(value, float):
                attribute = _key(2, 5) + struct.pack("<f", value) + _field(20, _FLOAT)
            else:
                attribute = _field(3, value) + _field(20, _INT)
            data += _field(5, _field(1, name) + attribute)
        self._nodes.append(data)
        return output

    def network(self, given: tuple[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]]) -> Network:
        """Return the network from the input `given`, a name and a shape, to the outputs `wanted`, shapes by name."""
        graph = b"".join(_field(1, node) for node in self._nodes) + _field(2, "network")
        graph += b"".join(_field(5, tensor) for tensor in self._tensors)
        graph += _field(11, _float_value(*given))
        graph += b"".join(_field(12, _float_value(name, shape)) for name, shape in wanted.items())
        model = _field(1, IR_VERSION) + _field(8, _field(1, "") + _field(2, OPSET)) + _field(7, graph)
        return Network(model, self.weights, given[0])


def _float_value(name: str, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(_field(1, _field(1, side)) for side in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, _FLOAT) + _field(2, dims)))


def _dims(shape: tuple[int, ...]) -> bytes:
    return b"".join(_field(1, side) for side in shape)


def _field(number: int, value: int | str | bytes) -> bytes:
    """Return a protobuf field: a whole number, or bytes with their length."""
    if isinstance(value, int):
        return _key(number, 0) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _key(number, 2) + _varint(len(data)) + data


def _key(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
