"""Tuning with a training that is not one: studies are resumed, hopeless trials stopped, and settings told as flags."""

import dataclasses
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
optuna = pytest.importorskip("optuna")

from twinset.cli.train import changed_settings  # noqa: E402
from twinset.detect import tune  # noqa: E402
from twinset.detect.train import TrainSettings  # noqa: E402
from twinset.detect.tune import Trial, as_flags, best_trial, space_of, tune_detector, with_values  # noqa: E402
from twinset.errors import DataError, Diverged  # noqa: E402

SETTINGS = TrainSettings(epochs=3)
Judge = Callable[[object], dict[str, float]]


class FakeTraining:
    """Stands in for train_detector: three epochs whose figure is the mosaics' share; writes a log as that does."""

    def __init__(self, kill_at: int | None = None, diverge_at: int | None = None) -> None:
        self.settings: list[TrainSettings] = []
        self.kill_at, self.diverge_at = kill_at, diverge_at

    def __call__(
        self, settings: TrainSettings, samples: object, categories: object, out: Path, judge: Judge, start: object
    ) -> Path:
        self.settings.append(settings)
        out.mkdir(parents=True, exist_ok=True)
        (out / "checkpoint.pt").touch()
        if len(self.settings) == self.diverge_at:
            raise Diverged("the loss is nan")
        log = out / "log.jsonl"
        done = len(log.read_text().splitlines()) if log.exists() else 0
        for epoch in range(done, 3):
            judge(settings)
            with log.open("a") as file:
                file.write("{}\n")
            if len(self.settings) == self.kill_at and epoch == 0:
                raise SystemExit  # as a kill: the trial is left running
        return out / "detector.onnx"


def mosaics(settings: TrainSettings) -> dict[str, float]:
    return {"map_50_a": settings.augment.mosaic, "map_50_b": 0.0}


def run(
    training: FakeTraining, monkeypatch: pytest.MonkeyPatch, out: Path, trials: int, pruner: str = "none"
) -> list[Trial]:
    monkeypatch.setattr(tune, "train_detector", training)
    return tune_detector(SETTINGS, [], ("top",), mosaics, trials, out, pruner)


def test_the_first_trial_has_the_settings_as_they_are(monkeypatch, tmp_path: Path):
    training = FakeTraining()
    (trial,) = run(training, monkeypatch, tmp_path, 1)

    assert training.settings == [SETTINGS]
    assert (trial.state, trial.epochs, trial.map_50) == ("complete", 3, SETTINGS.augment.mosaic / 2)
    assert set(trial.values) == set(space_of(SETTINGS))
    assert not list(tmp_path.glob("trial-*/checkpoint.pt"))  # of use to no one any more


def test_the_same_command_goes_on_with_the_study(monkeypatch, tmp_path: Path):
    run(FakeTraining(), monkeypatch, tmp_path, 2)
    again = FakeTraining()
    trials = run(again, monkeypatch, tmp_path, 3)

    assert len(again.settings) == 1
    assert [trial.state for trial in trials] == ["complete"] * 3
    assert len({json.dumps(trial.values) for trial in trials}) == 3


def test_a_killed_trial_is_taken_up_where_it_stopped(monkeypatch, tmp_path: Path):
    with pytest.raises(SystemExit):
        run(FakeTraining(kill_at=1), monkeypatch, tmp_path, 1)
    study = optuna.load_study(study_name="detector", storage=f"sqlite:///{tmp_path / tune.STUDY}")
    assert [trial.state.name for trial in study.trials] == ["RUNNING"]

    again = FakeTraining()
    trials = run(again, monkeypatch, tmp_path, 1)

    assert trials[-1].state == "complete" and trials[-1].epochs == 2  # the first was judged before
    assert again.settings == [SETTINGS]


def test_hopeless_trials_are_stopped(monkeypatch, tmp_path: Path):
    trials = run(FakeTraining(), monkeypatch, tmp_path, 12, "median")

    assert "pruned" in {trial.state for trial in trials}
    assert best_trial(trials).map_50 == max(trial.map_50 or 0 for trial in trials)


def test_a_training_that_diverges_is_no_end(monkeypatch, tmp_path: Path):
    trials = run(FakeTraining(diverge_at=1), monkeypatch, tmp_path, 2)

    assert [trial.state for trial in trials] == ["fail", "complete", "complete"][: len(trials)]
    assert trials[0].map_50 is None


def test_a_study_of_other_settings_is_refused(monkeypatch, tmp_path: Path):
    run(FakeTraining(), monkeypatch, tmp_path, 1)
    with pytest.raises(DataError, match="expected a study of these settings, found one with epochs 3"):
        tune_detector(dataclasses.replace(SETTINGS, epochs=9), [], ("top",), mosaics, 2, tmp_path)


def test_a_study_of_other_data_is_refused(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(tune, "train_detector", FakeTraining())
    data = {"voc": "/street-voc", "dev": "abc"}
    tune_detector(SETTINGS, [], ("top",), mosaics, 1, tmp_path, "none", data=data)
    tune_detector(SETTINGS, [], ("top",), mosaics, 1, tmp_path, "none", data=data)

    with pytest.raises(DataError, match="expected a study of these data, found one with voc '/street-voc'"):
        tune_detector(SETTINGS, [], ("top",), mosaics, 2, tmp_path, "none", data=data | {"voc": "/mine"})

    assert len(list(tmp_path.glob("trial-*"))) == 1
    (tmp_path / tune.STUDY).unlink()  # what is left of its trainings is not taken for those of another
    tune_detector(SETTINGS, [], ("top",), mosaics, 1, tmp_path, "none", data=data | {"dev": "def"})
    assert len(list(tmp_path.glob("trial-*"))) == 2


def test_flags_give_training_the_settings_that_were_tried():
    values = {"learning_rate": 0.00123456, "loss.topk": 12, "loss.beta": 4.0, "augment.mosaic": 0.5}
    words = [word for flag in as_flags(values) for word in shlex.split(flag)]
    changes = [word for word in words if word != "--set"]

    assert changes == ["learning_rate=0.001235", 'loss={"topk": 12, "beta": 4.0}', 'augment={"mosaic": 0.5}']
    expected = with_values(TrainSettings(), values | {"learning_rate": 0.001235})
    assert changed_settings(TrainSettings(), {}, changes) == expected


@pytest.mark.parametrize("head", ["anchor-free", "ssd"])
def test_every_range_holds_the_setting_as_it_is(head: str):
    settings = TrainSettings(head=head)
    for name, where in space_of(settings).items():
        assert where.low <= tune._value(settings, name) <= where.high, name
        assert with_values(settings, {name: where.high}) != settings


def test_without_a_whole_training_there_is_no_best():
    with pytest.raises(DataError, match="expected a training that ran to its end, found none of 1"):
        best_trial([Trial(0, "pruned", 1, 0.2, {})])
