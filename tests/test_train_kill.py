"""A training that is killed and started again by the same command ends where trainings end that were left alone."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from twinset.detect import train  # noqa: E402
from twinset.detect.augment import AugmentSettings, make_batch  # noqa: E402
from twinset.detect.build import build_net  # noqa: E402
from twinset.detect.network import make_points  # noqa: E402
from twinset.detect.samples import drawn_samples  # noqa: E402
from twinset.taxonomy import default_taxonomy  # noqa: E402

CATEGORIES = default_taxonomy().names
TINY = train.TrainSettings(
    height=64,
    width=64,
    batch=2,
    epochs=3,
    small_until=0.0,
    warmup=2,
    ema=0.9,
    packshots=3,
    worn=0,
    others=0,
    frozen_blocks=15,
)
STOP_AT = 4  # steps of the killed training: the first of its second epoch
KILLED = """
import sys
from pathlib import Path
import test_train_kill as test
from twinset.detect import train

steps, real = [], train.batch_loss

def stop(*given):
    steps.append(0)
    if len(steps) == test.STOP_AT:
        print("training", flush=True)
        sys.stdin.read()  # until it is killed
    return real(*given)

train.batch_loss = stop
test.run(test.TINY, Path(sys.argv[1]))
"""


def run(settings: train.TrainSettings, out: Path) -> None:
    torch.set_num_threads(1)
    train.train_detector(settings, drawn_samples(6, CATEGORIES, seed=0), CATEGORIES, out)


def final_loss(out: Path) -> float:
    """The averaged weights' loss on one batch, always the same."""
    net = build_net(TINY, CATEGORIES)
    net.load_state_dict(torch.load(out / train.CHECKPOINT, weights_only=True)["average"])
    samples = drawn_samples(4, CATEGORIES, seed=9)
    batch = make_batch(samples, samples, (64, 64), AugmentSettings(mosaic=0.0), np.random.default_rng(0))
    with torch.no_grad():
        loss, _ = train.batch_loss(net.eval(), batch, *make_points(64, 64), TINY)
    return float(loss)


def test_a_killed_training_ends_where_others_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    threads = torch.get_num_threads()
    monkeypatch.setattr(train, "export_detector", lambda net, file: 0.0)  # takes longer than all trainings here
    try:
        for seed in range(3):
            run(replace(TINY, seed=seed), tmp_path / f"seed{seed}")
        command = [sys.executable, "-c", KILLED, str(tmp_path / "killed")]
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parent, env=environment()
        )
        with child:
            assert child.stdout and child.stdout.readline() == b"training\n"
            child.kill()  # -9
        log = tmp_path / "killed" / "log.jsonl"
        assert len(log.read_text().splitlines()) == 1
        run(TINY, tmp_path / "killed")
        alone = [final_loss(tmp_path / f"seed{seed}") for seed in range(3)]
        killed = final_loss(tmp_path / "killed")
    finally:
        torch.set_num_threads(threads)
    assert len(log.read_text().splitlines()) == TINY.epochs
    assert min(alone) - 1e-3 <= killed <= max(alone) + 1e-3
    assert killed == pytest.approx(alone[0], rel=1e-3)  # of the same seed
    assert len(set(alone)) == 3


def environment() -> dict[str, str]:
    """The environment in which a child finds this checkout and the tests."""
    import os

    tests = Path(__file__).parent
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(tests.parent), str(tests)))}
