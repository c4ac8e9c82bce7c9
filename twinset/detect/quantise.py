"""An int8 copy of an exported detector. Whether it is worth having is measured by bench/int8.py.

Static quantisation of the convolutions, a scale for each channel (ONNX Runtime); ranges come from calibration photos
that are scaled as serving scales them. The last layers stay as they are: what they say is scores and boxes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twinset.detect.detector import DetectorConfig, input_size_wh, resize
from twinset.errors import UsageError
from twinset.types import Image

LAST_LAYERS = (".classify.", ".regress.")
CALIBRATION = 64  # photos are enough for ranges


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
