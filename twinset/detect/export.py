"""Write a trained detector as ONNX, check it against torch, and read such a file's weights back for training."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from twinset.detect.network import BINS, STRIDES, DetectorNet
from twinset.errors import ModelError
from twinset.runtime import OnnxSession

TOLERANCE = 1e-3  # of scores, and of distances relative to the input's side
CHECK_SIZES_HW = ((384, 256), (224, 320), (96, 64))  # none of them is the size it's exported with


class ServingNet(nn.Module):
    """The network as it is served: (B, H, W, 3) uint8 in; distances in input pixels and scores out."""

    def __init__(self, net: DetectorNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        logits, distance_logits = self.net.split_levels(pixels.permute(0, 3, 1, 2).float())
        bins = torch.arange(BINS, dtype=torch.float32)
        distances = [
            level.reshape(*level.shape[:2], 4, BINS).softmax(3) @ bins * stride
            for level, stride in zip(distance_logits, STRIDES, strict=True)
        ]
        return torch.cat(distances, 1), torch.cat(logits, 1).sigmoid()


def round_to_half(net: nn.Module) -> None:
    """Round the convolutions' weights to what fp16 holds, in place: what is stored is then what was checked."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.data = module.weight.data.half().float()


def export_onnx(
    serving: nn.Module, example: Tensor, file: Path, dynamic: dict[int, object], outputs: list[str]
) -> None:
    """Write the network as ONNX, weights of convolutions in fp16, cast to fp32 as it is loaded."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    program = torch.onnx.export(
        serving.eval(),
        (example,),
        dynamo=True,
        dynamic_shapes=(dynamic,),
        input_names=["pixels"],
        output_names=outputs,
        opset_version=18,
        optimize=False,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type == TensorProto.FLOAT and values.size > 256 and values.ndim > 1:
            name = tensor.name
            half = numpy_helper.from_array(values.astype(np.float16), f"{name}.half")
            tensor.CopyFrom(half)
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.value_info[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.checker.check_model(model)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    onnx.save(model, part)
    part.replace(file)


def export_detector(net: DetectorNet, file: Path) -> float:
    """Write the detector to `file` and return its largest difference from torch. Raises ModelError above 1e-3.

    The network's weights are rounded to fp16 in place.
    """
    net.eval()
    round_to_half(net)
    serving = ServingNet(net).eval()
    tiles_h, tiles_w = torch.export.Dim("tiles_h", min=2, max=64), torch.export.Dim("tiles_w", min=2, max=64)
    dynamic: dict[int, object] = {0: torch.export.Dim("batch", min=1, max=256), 1: 32 * tiles_h, 2: 32 * tiles_w}
    export_onnx(serving, torch.zeros(2, 256, 192, 3, dtype=torch.uint8), file, dynamic, ["distances", "scores"])
    session = OnnxSession(file)
    worst = 0.0
    rng = np.random.default_rng(0)
    for i, (height, width) in enumerate(CHECK_SIZES_HW):
        pixels = rng.integers(0, 256, (i + 1, height, width, 3), np.uint8)
        with torch.no_grad():
            distances, scores = serving(torch.from_numpy(pixels))
        found_distances, found_scores = session(pixels)
        worst = max(worst, float(np.abs(found_scores - scores.numpy()).max()))
        worst = max(worst, float(np.abs(found_distances - distances.numpy()).max()) / max(height, width))
    if worst > TOLERANCE:
        raise ModelError(f"{file}: expected ONNX within {TOLERANCE} of torch, found {worst:.5f}; report this as a bug")
    return worst


def read_weights(file: Path, prefix: str = "net.") -> dict[str, Tensor]:
    """Return the weights stored in an exported ONNX file by their names in the network."""
    import onnx
    from onnx import numpy_helper

    try:
        model = onnx.load(file)
    except Exception as exc:  # protobuf's DecodeError or OSError
        raise ModelError(f"{file}: expected an ONNX file of ours, found: {exc!r}; check the path") from exc
    found = {}
    for tensor in model.graph.initializer:
        name = tensor.name.removesuffix(".half")
        if name.startswith(prefix):
            values = numpy_helper.to_array(tensor)
            found[name.removeprefix(prefix)] = torch.from_numpy(np.array(values, np.float32))
    return found
