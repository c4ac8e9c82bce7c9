"""Write a trained detector as ONNX, check it against torch, and read such a file's weights back for training."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from twinset.detect.network import DetectorNet
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
        logits, raw = self.net.split_levels(pixels.permute(0, 3, 1, 2).float())
        distances = [self.net.head.distances(i, level) for i, level in enumerate(raw)]
        return torch.cat(distances, 1), torch.cat(logits, 1).sigmoid()


def fold_norms(net: nn.Module) -> dict[str, Tensor]:
    """Fold each batch norm into the layer before it, in place, and return the norms' own tensors by name.

    Weights are rounded to what fp16 holds: what is stored is then what was checked.
    """
    norms: dict[str, Tensor] = {}
    for prefix, parent in list(net.named_modules()):
        before: nn.Module | None = None
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                path = f"{prefix}.{name}" if prefix else name
                norms |= {f"{path}.{key}": value for key, value in child.state_dict().items() if value.ndim}
                fold = fuse_conv_bn_weights if isinstance(before, nn.Conv2d) else fuse_linear_bn_weights
                assert isinstance(before, nn.Conv2d | nn.Linear)
                mean, variance = child.get_buffer("running_mean"), child.get_buffer("running_var")
                before.weight, before.bias = fold(
                    before.weight, before.bias, mean, variance, child.eps, child.weight, child.bias
                )
                setattr(parent, name, nn.Identity())
            before = child
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.data = module.weight.data.half().float()
    return norms


def export_onnx(
    serving: nn.Module, example: Tensor, file: Path, dynamic: dict[int, object], outputs: list[str]
) -> None:
    """Write the network as ONNX: norms folded, weights in fp16, cast to fp32 as the file is loaded.

    ONNX Runtime neither folds the norms by itself nor joins padding, bias and activation with a convolution as torch
    writes them, and took 2.5 times as long. The norms' own tensors stay in the file, for `read_weights`; nothing uses
    them otherwise. `serving` is changed in place.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from onnxscript import optimizer

    norms = fold_norms(serving.eval().requires_grad_(False))
    program = torch.onnx.export(
        serving,
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
    model = optimizer.optimize(program.model_proto)
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type == TensorProto.FLOAT and values.size > 256 and values.ndim > 1:
            name = tensor.name
            half = numpy_helper.from_array(values.astype(np.float16), f"{name}.half")
            tensor.CopyFrom(half)
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], f"{name}.cast", to=TensorProto.FLOAT))
    written = {tensor.name.removesuffix(".half") for tensor in model.graph.initializer}  # equal ones are written once
    kept = norms | {name: value for name, value in serving.state_dict().items() if name not in written}
    model.graph.initializer.extend(numpy_helper.from_array(value.numpy(), name) for name, value in kept.items())
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


def scale_output(file: Path, out: Path, output: str, factors: NDArray[np.float32]) -> None:
    """Write a copy of an ONNX file whose (B, D) output is multiplied with (D,) factors."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(file)
    graph = model.graph
    before = f"{output}.before.{sum(node.op_type == 'Mul' for node in graph.node)}"
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [before if name == output else name for name in names]
    factor = f"{before}.factors"
    graph.initializer.append(numpy_helper.from_array(factors.astype(np.float32), factor))
    graph.node.append(helper.make_node("Mul", [before, factor], [output], factor))
    onnx.checker.check_model(model)
    onnx.save(model, out)


def export_detector(net: DetectorNet, file: Path) -> float:
    """Write the detector to `file` and return its largest difference from torch. Raises ModelError above 1e-3.

    The network is folded for serving, in place.
    """
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


def read_weights(file: Path, net: nn.Module, prefix: str = "net.") -> dict[str, Tensor]:
    """Return the weights in an exported ONNX file by their names in the network. Raises ModelError."""
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
    return _unfold_norms(net, found)


def _unfold_norms(net: nn.Module, stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a file as the network has them: the reverse of `fold_norms`, but for the rounding."""
    found = dict(stored)
    for prefix, parent in net.named_modules():
        before = ""
        for name, child in parent.named_children():
            path = f"{prefix}.{name}" if prefix else name
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d) and f"{before}.bias" in stored:
                scale = stored[f"{path}.weight"] / (stored[f"{path}.running_var"] + child.eps).sqrt()
                scale = torch.where(scale.abs() < 1e-6, torch.ones_like(scale), scale)
                weight = stored[f"{before}.weight"]
                found[f"{before}.weight"] = weight / scale.reshape(-1, *[1] * (weight.ndim - 1))
                bias = found.pop(f"{before}.bias") - stored[f"{path}.bias"]
                found[f"{before}.bias"] = bias / scale + stored[f"{path}.running_mean"]
            before = path
    return found
