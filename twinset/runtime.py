"""ONNX Runtime sessions and how many threads they may use."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twinset.errors import ModelError

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


class OnnxSession:
    """A model file ready to run. Safe to call from several threads.

    A call that comes while no network runs uses `threads` threads and is back soonest; others beside it use one each,
    which takes less CPU time an image (51 ms a search instead of 58: `twinset bench load`, see docs/operate.md).
    """

    def __init__(self, file: Path, threads: int | None = None) -> None:
        wide = threads or cpu_threads()
        self._alone = self._open(file, wide)
        self._beside = self._open(file, 1) if wide > 1 else self._alone
        self._input = self._alone.get_inputs()[0].name

    @staticmethod
    def _open(file: Path, threads: int) -> Any:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Detector and encoder run in turn, each with threads of its own: those that wait must not keep the cores busy.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            return ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # ONNX Runtime's own exceptions have no public base class
            raise ModelError(
                f"{file}: expected an ONNX model, found: {' '.join(str(exc).split())[:200]}; install Twinset again"
            ) from exc

    def __call__(self, inputs: Any) -> list[Any]:
        """Return the model's outputs, in its order."""
        with _running.one_more() as count:
            session = self._alone if count == 1 else self._beside
            outputs: list[Any] = session.run(None, {self._input: inputs})
        return outputs
