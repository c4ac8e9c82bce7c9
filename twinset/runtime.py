"""Networks ready to run, on ONNX Runtime or OpenVINO, and how many threads they may use."""

import importlib.util
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twinset.errors import MissingExtra, ModelError, UsageError

RUNTIME = "TWINSET_RUNTIME"  # the variable that says which of these
RUNTIMES = ("auto", "onnxruntime", "openvino")
CGROUP_LIMITS = (Path("/sys/fs/cgroup/cpu.max"), Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))


def cpu_threads() -> int:
    """Return how many threads this process can keep busy: its CPUs, or fewer where its container allows fewer."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_cpus(*CGROUP_LIMITS)
    return max(1, min(count, int(quota))) if quota else count


def _cgroup_cpus(version_2: Path, version_1: Path) -> float | None:
    """Return the CPUs a cgroup grants, None where it sets no limit."""
    try:
        quota, period = version_2.read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = version_1.read_text(), version_1.with_name("cpu.cfs_period_us").read_text()
        except OSError:
            return None
    if quota.strip() in ("max", "-1"):
        return None
    try:
        return max(float(quota) / float(period), 1.0)
    except (ValueError, ZeroDivisionError):
        return None


class _Running:
    """Counts the networks this process runs at the moment, whichever they are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    @contextmanager
    def one_more(self) -> Iterator[int]:
        """Yield how many run, this one among them."""
        with self._lock:
            self._count += 1
            count = self._count
        try:
            yield count
        finally:
            with self._lock:
                self._count -= 1


_running = _Running()


Run = Callable[[Any], list[Any]]  # one input array -> the outputs, in the model's order


class Session:
    """A network ready to run. Safe to call from several threads.

    A call that comes while no network runs uses `threads` threads and is back soonest; others beside it use one each,
    which takes less CPU time an image (51 ms a search instead of 58: `twinset bench load`, see docs/operate.md). What
    these need is opened when the first comes: a command has none.
    """

    def __init__(self, open_run: Callable[[int, int], Run], threads: int | None = None) -> None:
        """`open_run` is given how many threads there are, and how many calls they are to serve at once."""
        wide = threads or cpu_threads()
        self._alone = open_run(wide, 1)
        self._beside: Run | None = None if wide > 1 else self._alone
        self._open_run, self._threads = open_run, wide
        self._opening = threading.Lock()

    def __call__(self, inputs: Any) -> list[Any]:
        """Return the model's outputs, in its order."""
        with _running.one_more() as count:
            run = self._alone if count == 1 else self._beside_others()
            return run(inputs)

    def _beside_others(self) -> Run:
        with self._opening:
            if self._beside is None:
                self._beside = self._open_run(self._threads, self._threads)
            return self._beside


class OnnxSession(Session):
    """A model file on ONNX Runtime."""

    def __init__(self, file: Path, threads: int | None = None) -> None:
        super().__init__(lambda count, calls: open_onnx(file, count // calls), threads)


def open_session(
    file: Path,
    threads: int | None = None,
    lower_precision: bool = False,
    runtime: str | None = None,
    output: str = "",
) -> Session:
    """Return a model file on the chosen runtime: `runtime`, else TWINSET_RUNTIME, else OpenVINO where it is installed.

    With `lower_precision` it may compute in bf16 where the processor multiplies such matrices. With the name of an
    `output` it gives that one alone. Raises UsageError for an unknown runtime, MissingExtra for one that isn't
    installed, ModelError.
    """
    if choose_runtime(runtime) == "onnxruntime":
        return Session(lambda count, calls: open_onnx(file, count // calls, output), threads)
    precision = "bf16" if lower_precision and has_amx() else "f32"
    return Session(lambda count, calls: open_openvino(file, count, calls, precision, output), threads)


def runtimes() -> list[str]:
    """Return the names of the runtimes that are installed."""
    return ["onnxruntime", *(["openvino"] if importlib.util.find_spec("openvino") else [])]


def choose_runtime(runtime: str | None = None) -> str:
    """Return the name of the runtime to use, one of RUNTIMES without "auto"."""
    asked = runtime or os.environ.get(RUNTIME) or "auto"
    if asked not in RUNTIMES:
        raise UsageError(f"{RUNTIME}: expected one of {', '.join(RUNTIMES)}, found {asked!r}", field="runtime")
    if asked == "auto":
        return runtimes()[-1]
    if asked not in runtimes():
        raise MissingExtra("openvino", "openvino")
    return asked


def has_amx(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the processor multiplies matrices of bf16 in hardware (Intel AMX)."""
    try:
        return "amx_bf16" in cpuinfo.read_text(encoding="utf-8").split()
    except OSError:
        return False


def open_onnx(file: Path, threads: int, output: str = "") -> Run:
    """Return a function that runs a model file on ONNX Runtime. Raises ModelError."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Detector and encoder run in turn, each with threads of its own: between calls those must not keep the cores busy.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # ONNX Runtime's own exceptions have no public base class
        raise _not_a_model(file, exc) from exc
    name, wanted = session.get_inputs()[0].name, [output] if output else None
    if output:
        _check_output(file, output, {one.name for one in session.get_outputs()})

    def run(inputs: Any) -> list[Any]:
        outputs: list[Any] = session.run(wanted, {name: inputs})
        return outputs

    return run


def open_openvino(file: Path, threads: int, calls: int, precision: str, output: str = "") -> Run:
    """Return a function that runs a model file on OpenVINO, computing in "f32" or "bf16". Raises ModelError.

    `calls` at once share its threads; more wait. Unasked, OpenVINO computes in bf16 wherever the processor can:
    vectors would depend on the machine.
    """
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": calls,
        "ENABLE_CPU_PINNING": False,  # networks that run beside each other would all be kept to the same cores
    }
    try:
        core = openvino.Core()
        network = core.read_model(str(file))
        _widen_vectors(network)
        model = core.compile_model(network, "CPU", settings)
    except RuntimeError as exc:
        raise _not_a_model(file, exc) from exc
    if output:
        _check_output(file, output, {name for one in model.outputs for name in one.get_names()})
    wanted = [model.output(output)] if output else model.outputs
    requests = threading.local()  # one serves one call at a time

    def run(inputs: Any) -> list[Any]:
        if not hasattr(requests, "own"):
            requests.own = model.create_infer_request()
        found = requests.own.infer([inputs], share_inputs=True)
        return [found[one].copy() for one in wanted]  # the next call writes where these are

    return run


def _widen_vectors(network: Any) -> None:
    """Make vectors that matrices are multiplied by columns, in place: as vectors OpenVINO 2026.4 fails to fuse them."""
    import numpy as np
    from openvino import opset13

    for node in network.get_ordered_ops():
        if node.get_type_name() == "MatMul" and node.input_value(1).get_partial_shape().rank.get_length() == 1:
            column = opset13.unsqueeze(node.input_value(1), np.array([1]))
            product = opset13.matmul(node.input_value(0), column, False, False)
            targets = node.output(0).get_target_inputs()
            flat = opset13.squeeze(product, np.array([-1]))
            for target in targets:
                target.replace_source_output(flat.output(0))


def _check_output(file: Path, output: str, known: set[str]) -> None:
    if output not in known:
        raise ModelError(f"{file}: expected an output {output!r}, found {', '.join(sorted(known))}; see its settings")


def _not_a_model(file: Path, exc: Exception) -> ModelError:
    return ModelError(
        f"{file}: expected an ONNX model, found: {' '.join(str(exc).split())[:200]}; install Twinset again"
    )
