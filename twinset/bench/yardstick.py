"""The yardstick of every benchmark: one forward pass of a ViT-B/16-size encoder.

Machines differ, so a time alone says little: it is given beside this. The network has seeded random weights
(Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, table 1: 12 layers, 768 wide, 12 heads, patches
of 16), 224x224, batch 1, ONNX Runtime fp32, 2 threads.
"""

import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from twinset.errors import MissingExtra
from twinset.runtime import cpu_threads

LAYERS, WIDTH, HEADS, PATCH, SIDE = 12, 768, 12, 16, 224
THREADS = 2


def build_yardstick() -> bytes:
    """Return the yardstick as an ONNX model. Raises MissingExtra without onnx."""
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as exc:
        raise MissingExtra("onnx", "train") from exc
    rng = np.random.default_rng(0)
    nodes: list[Any] = []
    weights: list[Any] = []
    tokens = (SIDE // PATCH) ** 2 + 1

    def weight(name: str, *shape: int) -> str:
        scale = 0.02 if len(shape) > 1 else 0.0
        weights.append(numpy_helper.from_array((rng.standard_normal(shape) * scale).astype(np.float32), name))
        return name

    def constant(name: str, values: list[int] | NDArray[np.float32]) -> str:
        array = np.array(values, np.int64) if isinstance(values, list) else values
        weights.append(numpy_helper.from_array(array, name))
        return name

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def linear(x: str, name: str, c_in: int, c_out: int) -> str:
        product = node("MatMul", [x, weight(f"{name}.w", c_in, c_out)], f"{name}.product")
        return node("Add", [product, weight(f"{name}.b", c_out)], f"{name}.out")

    def norm(x: str, name: str) -> str:
        scale = constant(f"{name}.scale", np.ones(WIDTH, np.float32))
        return node("LayerNormalization", [x, scale, weight(f"{name}.bias", WIDTH)], f"{name}.out", epsilon=1e-6)

    split = constant("split", [1, tokens, HEADS, WIDTH // HEADS])
    joined = constant("joined", [1, tokens, WIDTH])
    root = constant("root", np.array(np.sqrt(WIDTH // HEADS), np.float32))
    patches = node(
        "Conv",
        ["pixels", weight("patch.w", WIDTH, 3, PATCH, PATCH)],
        "patches",
        kernel_shape=[PATCH] * 2,
        strides=[PATCH] * 2,
    )
    flat = node("Reshape", [patches, constant("flat", [1, WIDTH, tokens - 1])], "flat.out")
    x = node("Transpose", [flat], "tokens", perm=[0, 2, 1])
    x = node("Concat", [weight("class", 1, 1, WIDTH), x], "with.class", axis=1)
    x = node("Add", [x, weight("position", 1, tokens, WIDTH)], "positioned")
    for i in range(LAYERS):
        inner = norm(x, f"{i}.norm1")
        heads = []
        for part, perm in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
            projected = linear(inner, f"{i}.{part}", WIDTH, WIDTH)
            shaped = node("Reshape", [projected, split], f"{i}.{part}.split")
            heads.append(node("Transpose", [shaped], f"{i}.{part}.heads", perm=perm))
        scores = node("Div", [node("MatMul", heads[:2], f"{i}.qk"), root], f"{i}.scores")
        mixed = node("MatMul", [node("Softmax", [scores], f"{i}.shares", axis=-1), heads[2]], f"{i}.mixed")
        together = node("Reshape", [node("Transpose", [mixed], f"{i}.back", perm=[0, 2, 1, 3]), joined], f"{i}.joined")
        x = node("Add", [x, linear(together, f"{i}.proj", WIDTH, WIDTH)], f"{i}.mid")
        hidden = linear(norm(x, f"{i}.norm2"), f"{i}.fc1", WIDTH, 4 * WIDTH)
        active = node("Gelu", [hidden], f"{i}.gelu")
        x = node("Add", [x, linear(active, f"{i}.fc2", 4 * WIDTH, WIDTH)], f"{i}.end")
    node("Gather", [norm(x, "norm"), constant("first", [0])], "embedding", axis=1)
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 1, WIDTH])
    graph = helper.make_graph(nodes, "vit_b_16", [pixels], [embedding], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def open_yardstick() -> Callable[[], None]:
    """Return a function that runs the yardstick once."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = ort.InferenceSession(build_yardstick(), options, providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(1).standard_normal((1, 3, SIDE, SIDE)).astype(np.float32)
    return lambda: session.run(None, {"pixels": pixels}) and None


def time_ms(run: Callable[[], object], repeats: int = 30, warm_up: int = 5) -> list[float]:
    """Return the milliseconds of each of `repeats` calls, after a warm-up."""
    for _ in range(warm_up):
        run()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append((time.perf_counter() - began) * 1000)
    return times


def percentiles(times: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 95th percentile."""
    return statistics.median(times), float(np.percentile(times, 95))


def yardstick_ms(repeats: int = 20) -> float:
    """Return the median milliseconds of the yardstick."""
    return statistics.median(time_ms(open_yardstick(), repeats))


def print_results(name: str, header: Sequence[str], rows: Sequence[Sequence[object]], **facts: object) -> None:
    """Print the table, then one JSON line with the rows, the facts and the machine."""
    from twinset.cli_tables import print_table

    print_table(header, rows)
    named = [dict(zip(header, row, strict=True)) for row in rows]
    click.echo(json.dumps({"benchmark": name, "rows": named, **facts, "machine": machine()}))


def machine() -> dict[str, object]:
    """Return what the figures depend on beside the code: processor, versions, commit."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = models[0] if models else cpu
    packages = {name: version(name) for name in ("twinset", "onnxruntime", "numpy", "lancedb")}
    return {"cpu": cpu, "cpus": cpu_threads(), "python": platform.python_version(), **packages, "commit": _commit()}


def _commit() -> str | None:
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # installed from a wheel
