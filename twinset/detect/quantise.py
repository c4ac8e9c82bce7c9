"""An int8 copy of an exported detector, and whether it is worth having on this machine: both are measured.

Static quantisation of the convolutions, a scale for each channel (ONNX Runtime); ranges come from calibration photos
that are scaled as serving scales them. The last layers stay as they are: what they say is scores and boxes.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twinset.detect.detector import Detector, DetectorConfig, input_size_wh, resize
from twinset.errors import UsageError
from twinset.runtime import OnnxSession
from twinset.types import Image

MOST_LOST = 0.005  # of mAP50, from which int8 isn't worth it
LAST_LAYERS = (".classify.", ".regress.")
CALIBRATION = 64  # photos are enough for ranges


@dataclass(frozen=True, slots=True)
class Bargain:
    """An fp32 and an int8 detector side by side."""

    fp32_ms: float  # median a photo
    int8_ms: float
    fp32_map_50: float
    int8_map_50: float

    @property
    def recommended(self) -> bool:
        """Whether int8 is faster and within half a point of mAP50."""
        return self.int8_ms < self.fp32_ms and self.fp32_map_50 - self.int8_map_50 <= MOST_LOST


def quantise(file: Path, out: Path, photos: Sequence[Image], config: DetectorConfig) -> None:
    """Write an int8 copy of a detector.onnx, calibrated on photos. Raises UsageError without any."""
    if not photos:
        raise UsageError("expected photos to calibrate on, found none; name some")
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    plain = out.with_suffix(".plain")
    model = _with_plain_weights(onnx.load(file))
    onnx.save(model, plain)
    kept = [n.name for n in model.graph.node if n.op_type == "Conv" and any(p in n.input[1] for p in LAST_LAYERS)]
    try:
        quantize_static(
            plain,
            out,
            _Calibration(photos[:CALIBRATION], config),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=kept,
            calibrate_method=CalibrationMethod.MinMax,
        )
    finally:
        plain.unlink()


def compare(
    fp32: Path,
    int8: Path,
    config: DetectorConfig,
    photos: Sequence[Image],
    map_50: Callable[[Detector], float],
    threads: int | None,
) -> Bargain:
    """Return both files' latency on photos, turn by turn, and mAP50, on ONNX Runtime."""
    from twinset.bench.timing import percentiles, time_ms

    detectors = [Detector(OnnxSession(file, threads), config) for file in (fp32, int8)]
    times: list[list[float]] = [[], []]
    turn = itertools.cycle(photos)
    for _ in range(4):  # in turns, so that a busy moment hits both
        for mine, detector in zip(times, detectors, strict=True):
            mine += time_ms(lambda detector=detector: detector.detect(next(turn)), 10, 2)  # type: ignore[misc]
    medians = [percentiles(mine)[0] for mine in times]
    figures = [map_50(detector) for detector in detectors]
    return Bargain(medians[0], medians[1], figures[0], figures[1])


def _with_plain_weights(model: Any) -> Any:
    """Return the model with its fp16 weights and their casts made fp32 weights: the quantiser looks for those."""
    from onnx import numpy_helper

    halves = {tensor.name: tensor for tensor in model.graph.initializer if tensor.name.endswith(".half")}
    used = {name for node in model.graph.node for name in node.input}
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Cast" and node.input[0] in halves:
            values = numpy_helper.to_array(halves[node.input[0]]).astype(np.float32)
            model.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
        else:
            nodes.append(node)
    for i, node in enumerate(nodes):
        node.name = node.name or f"node{i}"
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in halves and tensor.name in used]
    for field, entries in ((model.graph.node, nodes), (model.graph.initializer, kept)):
        copies = [type(entry).FromString(entry.SerializeToString()) for entry in entries]
        del field[:]
        field.extend(copies)
    return model


class _Calibration:
    """What the quantiser reads: photos as the network gets them."""

    def __init__(self, photos: Sequence[Image], config: DetectorConfig) -> None:
        self._inputs = self._read(photos, config)

    def get_next(self) -> dict[str, Any] | None:
        return next(self._inputs, None)

    @staticmethod
    def _read(photos: Sequence[Image], config: DetectorConfig) -> Iterator[dict[str, Any]]:
        for photo in photos:
            size_wh = input_size_wh(photo.shape[1], photo.shape[0], config.input_area)
            yield {"pixels": resize(photo, size_wh)[None]}
