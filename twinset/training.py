"""What both training loops share: setting the process up, making batches ahead, and checkpoints."""

import ctypes
import math
import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from twinset.errors import DataError

T = TypeVar("T")
CHECKPOINT = "checkpoint.pt"  # in a training's folder


def keep_freed_memory() -> None:
    """Have the C library keep the memory this process frees: zeroing large blocks anew took a third of every step."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        m_trim_threshold, m_top_pad, m_mmap_max, m_arena_max = -1, -2, -4, -8
        for option, value in ((m_arena_max, 1), (m_mmap_max, 0), (m_trim_threshold, 2**31 - 1), (m_top_pad, 2**28)):
            libc.mallopt(option, value)


def prefetch(items: Iterator[T], ahead: int = 2) -> Iterator[T]:
    """Yield the items, made up to `ahead` early in a thread; an exception there is raised here."""
    ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(maxsize=ahead)
    stop = threading.Event()

    def offer(item: T | None, error: BaseException | None) -> None:
        while not stop.is_set():
            try:
                return ready.put((item, error), timeout=0.5)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                if stop.is_set():
                    return
                offer(item, None)
            offer(None, StopIteration())
        except BaseException as exc:
            offer(None, exc)

    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        stop.set()


class Schedule(Protocol):
    """The settings of the optimizer, as every training's settings have them."""

    @property
    def learning_rate(self) -> float: ...
    @property
    def backbone_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def warmup(self) -> int: ...


def make_optimizer(net: nn.Module, backbone_prefix: str, schedule: Schedule) -> torch.optim.AdamW:
    """Return AdamW with a lower rate for the backbone, and no decay for biases and norms."""
    groups: dict[tuple[bool, bool], list[torch.Tensor]] = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith(backbone_prefix), parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "rate": schedule.backbone_rate if of_backbone else 1.0,
                "weight_decay": schedule.weight_decay if decays else 0.0,
            }
            for (of_backbone, decays), parameters in groups.items()
        ],
        lr=schedule.learning_rate,
    )


def set_rates(optimizer: torch.optim.Optimizer, schedule: Schedule, share: float, step: int) -> None:
    """Set the learning rates: a linear warm-up, then a fall to a hundredth along a cosine over the training's share."""
    cosine = 0.01 + 0.99 * (1 + math.cos(math.pi * min(share, 1.0))) / 2
    for group in optimizer.param_groups:
        group["lr"] = schedule.learning_rate * min(1.0, (step + 1) / schedule.warmup) * cosine * group["rate"]


@torch.no_grad()
def update_average(average: nn.Module, net: nn.Module, decay: float, step: int) -> None:
    """Move the average of the weights towards the network's, faster in the first steps."""
    weight = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), weight)
    for mine, new in zip(average.buffers(), net.buffers(), strict=True):
        mine.copy_(new)


def mean_weights(nets: Sequence[nn.Module]) -> dict[str, torch.Tensor]:
    """Return the state of the first with the mean of all in the place of its floating-point numbers.

    Of networks that were trained on from each other the mean is often better than any (Wortsman et al., "Model soups",
    ICML 2022, arXiv 2203.05482, section 2).
    """
    states = [net.state_dict() for net in nets]
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
        for name, value in states[0].items()
    }


def save_checkpoint(
    file: Path, net: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Write all that training needs to go on; the file before stays whole until the new one is."""
    part = file.with_suffix(".part")
    parts = {"net": net.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({**parts, "state": state}, part)
    part.replace(file)


def load_checkpoint(
    file: Path, net: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any] | None:
    """Load a checkpoint into its parts and return its state, None if there is none. Raises DataError."""
    if not file.exists():
        return None
    try:
        saved = torch.load(file, weights_only=True)
        net.load_state_dict(saved["net"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        state: dict[str, Any] = saved["state"]
    except (RuntimeError, KeyError, ValueError) as exc:
        raise DataError(
            f"{file}: expected a checkpoint of these settings; move it away or choose another --out"
        ) from exc
    return state
