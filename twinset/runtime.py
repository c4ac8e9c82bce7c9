"""ONNX Runtime sessions and how many threads they may use."""

import os
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


class OnnxSession:
    """A model file ready to run. Safe to call from several threads."""

    def __init__(self, file: Path, threads: int | None = None) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or cpu_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Detector and encoder run in turn, each with threads of its own: those that wait must not keep the cores busy.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # ONNX Runtime's own exceptions have no public base class
            raise ModelError(
                f"{file}: expected an ONNX model, found: {' '.join(str(exc).split())[:200]}; install Twinset again"
            ) from exc
        self._input = self._session.get_inputs()[0].name

    def __call__(self, inputs: Any) -> list[Any]:
        """Return the model's outputs, in its order."""
        outputs: list[Any] = self._session.run(None, {self._input: inputs})
        return outputs
