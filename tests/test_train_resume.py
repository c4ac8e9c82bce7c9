"""Trainings that are gone on with, on a few drawn pictures: what may change, what is refused, and how they end."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from twinset.describe import train as encoder_train  # noqa: E402
from twinset.describe.samples import Vocabulary  # noqa: E402
from twinset.describe.train import EncoderSettings, load_trainee  # noqa: E402
from twinset.detect import train  # noqa: E402
from twinset.detect.samples import Sample, drawn_samples  # noqa: E402
from twinset.detect.train import TrainSettings, train_detector  # noqa: E402
from twinset.errors import DataError, UsageError  # noqa: E402
from twinset.taxonomy import default_taxonomy  # noqa: E402
from twinset.training import CHECKPOINT, load_checkpoint, make_optimizer, save_checkpoint  # noqa: E402

CATEGORIES = default_taxonomy().names
TINY = TrainSettings(
    height=64, width=64, batch=2, epochs=1, small_until=0.0, warmup=2, packshots=3, worn=0, others=0, frozen_blocks=15
)


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return drawn_samples(6, CATEGORIES, seed=0)


@pytest.fixture(autouse=True)
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "export_detector", lambda net, file: 0.0)  # takes longer than all trainings here


@pytest.fixture
def trained(samples: list[Sample], tmp_path: Path) -> Path:
    train_detector(TINY, samples, CATEGORIES, tmp_path)
    return tmp_path


def epochs_of(out: Path) -> list[int]:
    return [json.loads(line)["epoch"] for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_checkpoint_of_as_many_other_categories_is_refused(samples: list[Sample], tmp_path: Path) -> None:
    without = {name: tuple(one for one in CATEGORIES if one != name) for name in ("hat", "bag")}
    train_detector(TINY, drawn_samples(6, without["hat"], seed=0), without["hat"], tmp_path)

    with pytest.raises(DataError, match="expected a checkpoint of these categories, found others"):
        train_detector(replace(TINY, epochs=2), samples, without["bag"], tmp_path)

    assert json.loads((tmp_path / "detector.json").read_text())["categories"] == list(without["hat"])


def test_an_encoders_checkpoint_of_other_names_is_refused(tmp_path: Path) -> None:
    net = torch.nn.Linear(2, 2)
    optimizer = make_optimizer(net, "none.", EncoderSettings())
    names = {"article_types": ("shirts", "jeans"), "words": ("red",)}
    save_checkpoint(tmp_path / CHECKPOINT, net, net, optimizer, {"epoch": 1, "classes": names})

    with pytest.raises(DataError, match="of these article_types, found others"):
        load_checkpoint(tmp_path / CHECKPOINT, net, net, optimizer, names | {"article_types": ("shirts", "shorts")})


def change_state(out: Path, **changes: Any) -> None:
    saved = torch.load(out / CHECKPOINT, weights_only=True)
    saved["state"] = {name: value for name, value in (saved["state"] | changes).items() if value is not None}
    torch.save(saved, out / CHECKPOINT)


def test_a_checkpoint_of_an_earlier_version_is_gone_on_from(trained: Path, samples: list[Sample]) -> None:
    change_state(trained, classes=None, share=0.9)

    train_detector(replace(TINY, epochs=2), samples, CATEGORIES, trained)

    assert epochs_of(trained) == [1, 2]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"weight_decay": 0.5}, r"weight_decay: expected 0\.02 as in .*settings\.json, found 0\.5"),
        ({"seed": 3}, "seed: expected 0"),
        ({"augment": replace(TINY.augment, mosaic=0.0)}, 'augment: expected .*"mosaic": 0.2'),
    ],
    ids=str,
)
def test_other_settings_are_refused_by_name(
    change: dict[str, Any], named: str, trained: Path, samples: list[Sample]
) -> None:
    before = (trained / "settings.json").read_text()

    with pytest.raises(UsageError, match=named):
        train_detector(replace(TINY, epochs=2, **change), samples, CATEGORIES, trained)

    assert (trained / "settings.json").read_text() == before


def test_rates_and_decay_are_those_of_the_settings_and_not_of_the_checkpoint(tmp_path: Path) -> None:
    net = torch.nn.Linear(2, 2)
    before = make_optimizer(net, "none.", replace(TINY, weight_decay=0.1))
    save_checkpoint(tmp_path / CHECKPOINT, net, net, before, {"epoch": 1})
    optimizer = make_optimizer(net, "none.", replace(TINY, weight_decay=0.3))

    load_checkpoint(tmp_path / CHECKPOINT, net, net, optimizer, {})

    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.3}


def test_a_finished_training_says_that_nothing_is_trained(
    trained: Path, samples: list[Sample], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        train_detector(TINY, samples, CATEGORIES, trained)

    assert "finished before, 1 epochs in" in caplog.text and "give more --epochs or --minutes" in caplog.text
    assert epochs_of(trained) == [1]


def test_a_training_that_minutes_ended_goes_on_with_more(samples: list[Sample], tmp_path: Path) -> None:
    settings = replace(TINY, epochs=2, minutes=1e-9)
    train_detector(settings, samples, CATEGORIES, tmp_path)
    train_detector(settings, samples, CATEGORIES, tmp_path)
    assert epochs_of(tmp_path) == [1]

    train_detector(replace(settings, minutes=60.0), samples, CATEGORIES, tmp_path)

    assert epochs_of(tmp_path) == [1, 2]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no checkpoint"], ids=["empty", "cut", "text"])
def test_a_broken_checkpoint_is_named(content: bytes, samples: list[Sample], tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(content)

    with pytest.raises(DataError, match=r"checkpoint\.pt: expected a checkpoint of these settings; move it away"):
        train_detector(TINY, samples, CATEGORIES, tmp_path)


def test_a_broken_checkpoint_of_an_encoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / CHECKPOINT).touch()
    (tmp_path / "settings.json").write_text("{}")
    (tmp_path / "vocabulary.json").write_text(json.dumps({name: [] for name in Vocabulary.__slots__}))
    monkeypatch.setattr(encoder_train, "load_imagenet", pytest.fail)

    with pytest.raises(DataError, match=r"expected settings\.json, vocabulary\.json and checkpoint\.pt"):
        load_trainee(tmp_path)


def test_too_few_samples_for_a_batch_are_counted(samples: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least 16 photos to fill a batch, found 6; give more or --set batch=6"):
        train_detector(replace(TINY, batch=16), samples, CATEGORIES, tmp_path)
