"""Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

LINE_EVERY_S = 10.0


class LineProgress:
    """Writes a line every ten seconds: for logs."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.began = self.last = time.monotonic()
        self.done = self.total = 0

    def start(self, total: int) -> None:
        self.total, self.began = total, time.monotonic()

    def advance(self, count: int = 1) -> None:
        self.done += count
        now = time.monotonic()
        if now - self.last >= LINE_EVERY_S:
            self.last = now
            rate = self.done / (now - self.began)
            left = (self.total - self.done) / rate if rate else 0.0
            print(
                f"{self.what}: {self.done}/{self.total}, {rate:.1f}/s, {left:.0f} s left", file=sys.stderr, flush=True
            )


class BarProgress:
    """A bar with rate and time left."""

    def __init__(self, what: str) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        rate = TextColumn("{task.fields[rate]}")
        self.bar = Progress(
            TextColumn(what),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            rate,
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self.task = self.bar.add_task(what, total=None, rate="")

    def start(self, total: int) -> None:
        self.bar.update(self.task, total=total)

    def advance(self, count: int = 1) -> None:
        self.bar.update(self.task, advance=count)
        speed = self.bar.tasks[0].speed
        self.bar.update(self.task, rate=f"{speed:.1f}/s" if speed else "")


@contextmanager
def terminal_progress(what: str) -> Iterator[LineProgress | BarProgress]:
    """Yield a progress for stderr as it is: a terminal or not."""
    if not sys.stderr.isatty():
        yield LineProgress(what)
        return
    progress = BarProgress(what)
    with progress.bar:
        yield progress
