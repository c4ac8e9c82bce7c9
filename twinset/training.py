"""What both training loops share: setting the process up, making batches ahead, and checkpoints."""

import ctypes
import dataclasses
import json
import logging
import math
import os
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch import nn

from twinset.errors import DataError, UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

log = logging.getLogger(__name__)
T = TypeVar("T")
SHARE = (0.0, 1.0)  # ranges of settings
ABOVE_0 = (1e-9, math.inf)
AT_LEAST_0 = (0.0, math.inf)
AT_LEAST_1 = (1.0, math.inf)
CHECKPOINT = "checkpoint.pt"  # in a training's folder
SETTINGS = "settings.json"  # beside it
LENGTHS = ("epochs", "minutes")  # settings that may be others when a training is gone on with


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
    @property
    def epochs(self) -> int: ...
    @property
    def minutes(self) -> float: ...


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


def check_range(settings: object, limits: tuple[float, float], *names: str) -> None:
    """Raise UsageError for the first of the named settings that is not in the range, both ends of which are allowed.

    Of a setting that is a pair both numbers are to be, the lower first.
    """
    low, high = limits
    for name in names:
        value = getattr(settings, name)
        numbers = list(value) if isinstance(value, tuple) else [value]
        if not all(low <= number <= high for number in numbers) or numbers != sorted(numbers):
            expected = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
            pair = ", the lower number first" if len(numbers) > 1 else ""
            raise UsageError(f"{name}: expected {expected}{pair}, found {value}", field=name)


def share_done(schedule: Schedule, epochs: float, seconds: float) -> float:
    """Return the share of the training that is done after so many epochs and seconds; 1 or more: all of it."""
    return max(epochs / schedule.epochs, seconds / 60 / schedule.minutes if schedule.minutes else 0.0)


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


def take_mean(net: nn.Module, others: Sequence[nn.Module]) -> None:
    """Give a network the mean of its weights and those of others of its build; what is counted stays its own."""
    states = [each.state_dict() for each in (net, *others)]
    mean = {
        name: torch.stack([state[name] for state in states]).mean(0)
        for name, value in states[0].items()
        if value.is_floating_point()
    }
    net.load_state_dict(states[0] | mean)


def keep_settings(out: Path, settings: "DataclassInstance") -> None:
    """Write settings.json into a training's folder. Raises UsageError where its checkpoint was trained with others.

    How long it is to be trained may change.
    """
    file, given = out / SETTINGS, json.loads(json.dumps(dataclasses.asdict(settings)))
    if (out / CHECKPOINT).exists() and file.exists():
        try:
            before = dict(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as exc:
            raise DataError(f"{file}: expected a training's settings, found: {exc}; choose another --out") from exc
        for name in (name for name in given if name in before and name not in LENGTHS):
            if before[name] != given[name]:
                raise UsageError(
                    f"{name}: expected {json.dumps(before[name])} as in {file}, found {json.dumps(given[name])}; "
                    f"go on with the same settings or choose another --out",
                    field=name,
                )
    file.write_text(json.dumps(given, indent=2), encoding="utf-8")


def say_if_finished(out: Path, schedule: Schedule, state: Mapping[str, Any]) -> None:
    """Log that there is nothing left to train, where that is so."""
    if share_done(schedule, state["epoch"], state["seconds"]) >= 1.0:
        done = f"{state['epoch']} epochs in {state['seconds'] / 60:.1f} minutes"
        log.warning("%s: finished before, %s: nothing is trained; to go on give more --epochs or --minutes", out, done)


def save_checkpoint(
    file: Path, net: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Write all that training needs to go on; the file before stays whole until the new one is."""
    part = file.with_suffix(".part")
    parts = {"net": net.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
    with part.open("wb") as stream:
        torch.save({**parts, "state": state}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)


def load_checkpoint(
    file: Path,
    net: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    classes: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Load a checkpoint into its parts and return its state, that of a training's beginning if there is none.

    Rates and decay stay as the optimizer has them. Raises DataError for a checkpoint of another network, or of other
    `classes`, names by what they are names of.
    """
    known = {name: list(names) for name, names in classes.items()}
    if not file.exists():
        return {"epoch": 0, "step": 0, "seconds": 0.0, "classes": known}
    expected = f"{file}: expected a checkpoint of these"
    own = [{name: group[name] for name in ("rate", "weight_decay")} for group in optimizer.param_groups]
    try:
        saved = torch.load(file, weights_only=True)
        net.load_state_dict(saved["net"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        state: dict[str, Any] = saved["state"]
    except Exception as exc:  # a file that is empty, cut, something else or of another network ends in many ways
        raise DataError(f"{expected} settings; move it away or choose another --out") from exc
    for group, given in zip(optimizer.param_groups, own, strict=True):
        group.update(given)
    before = state.setdefault("classes", known)  # of an earlier version: it had none
    if differs := [name for name in known if before.get(name) != known[name]]:
        raise DataError(f"{expected} {differs[0]}, found others; move it away or choose another --out")
    return state
