"""Look for better settings of a detector's training: short trainings, the hopeless ones stopped early (Optuna).

The study is a SQLite file: the same command goes on with it, also after a kill, the trial that was running included.
Trials are judged on dev, the mean of the sources' mAP50, after every epoch. The first has the settings as they are.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinset.detect.detector import Detector, load_detector
from twinset.detect.samples import Sample
from twinset.detect.train import Evaluate, TrainSettings, train_detector
from twinset.errors import DataError, Diverged, MissingExtra
from twinset.training import CHECKPOINT

if TYPE_CHECKING:
    import optuna

STUDY = "study.db"
Value = int | float


@dataclass(frozen=True, slots=True)
class Range:
    """Where a setting is looked for."""

    low: Value
    high: Value
    log: bool = False  # evenly in its logarithm


SPACE: dict[str, Range] = {  # setting, as `TrainSettings` has it -> range
    "learning_rate": Range(5e-4, 6e-3, log=True),
    "backbone_rate": Range(0.1, 0.6, log=True),
    "weight_decay": Range(5e-3, 0.1, log=True),
    "augment.mosaic": Range(0.0, 0.6),
    "augment.zoom_in": Range(0.0, 0.6),
    "augment.max_zoom": Range(1.5, 4.0),
    "augment.colour": Range(0.05, 0.45),
}
OF_HEAD: dict[str, dict[str, Range]] = {
    "anchor-free": {
        "loss.topk": Range(5, 18),
        "loss.alpha": Range(0.25, 1.5),
        "loss.beta": Range(2.0, 8.0),
        "loss.span": Range(5.0, 12.0),
        "loss.centre": Range(0.15, 0.6),
        "loss.class_weight": Range(0.25, 2.0, log=True),
        "loss.box_weight": Range(3.0, 12.0, log=True),
        "loss.distribution_weight": Range(0.4, 3.0, log=True),
    },
    "ssd": {
        "ssd.match_iou": Range(0.35, 0.65),
        "ssd.negatives": Range(2.0, 6.0),
        "ssd.class_weight": Range(0.5, 2.0, log=True),
        "ssd.box_weight": Range(0.5, 2.0, log=True),
    },
}


@dataclass(frozen=True, slots=True)
class Trial:
    """One training of the study."""

    number: int
    state: str  # complete, pruned, fail, running, waiting
    epochs: int  # judged
    map_50: float | None  # on dev, at the last of them
    values: dict[str, Value]  # of the settings that are looked for


def tune_detector(
    settings: TrainSettings,
    samples: Sequence[Sample],
    categories: tuple[str, ...],
    evaluate: Evaluate,
    trials: int,
    out: Path,
    pruner: str = "median",
    start_from: Path | None = None,
    data: Mapping[str, Any] | None = None,
) -> list[Trial]:
    """Train until the study in `out` has `trials` trainings, whole or stopped early, and return all of them.

    `evaluate` gives a detector's figures on dev; `data` is what samples and dev were read from, as JSON has it. Raises
    MissingExtra, DataError for a study of other settings or data.
    """
    study = _open_study(settings, out, pruner)
    _keep(study, "settings", dataclasses.asdict(settings), out)
    _keep(study, "data", data or {}, out)
    _take_up(study, settings)

    def train(trial: "optuna.Trial") -> float:
        values = {name: _suggest(trial, name, where) for name, where in space_of(settings).items()}
        folder = out / f"trial-{_digest(values | dict(data or {}))}"  # the same for a training that is taken up again
        figures: list[float] = []

        def judge(detector: Detector) -> dict[str, float]:
            found = evaluate(detector)
            figures.append(_mean(found))
            trial.report(figures[-1], _epochs_logged(folder))
            if trial.should_prune():
                raise _pruned()
            return found

        try:
            train_detector(with_values(settings, values), samples, categories, folder, judge, start_from)
        except _pruned():
            (folder / CHECKPOINT).unlink(missing_ok=True)
            raise
        (folder / CHECKPOINT).unlink(missing_ok=True)
        return figures[-1] if figures else _mean(evaluate(load_detector(folder)))

    finished = sum(trial.state in ("complete", "pruned") for trial in list_trials(study))
    study.optimize(train, n_trials=max(trials - finished, 0), catch=(Diverged,))
    return list_trials(study)


def best_trial(trials: Sequence[Trial]) -> Trial:
    """Return the whole training with the best figure. Raises DataError where there is none."""
    whole = [trial for trial in trials if trial.state == "complete" and trial.map_50 is not None]
    if not whole:
        raise DataError(f"expected a training that ran to its end, found none of {len(trials)}; ask for more --trials")
    return max(whole, key=lambda trial: trial.map_50 or 0.0)


def with_values(settings: TrainSettings, values: Mapping[str, Value]) -> TrainSettings:
    """Return the settings with some changed; "loss.topk" is `topk` of `loss`."""
    for name, value in values.items():
        part, _, inner = name.rpartition(".")
        whole: Any = dataclasses.replace(getattr(settings, part), **{inner: value}) if part else value
        settings = dataclasses.replace(settings, **{part or inner: whole})
    return settings


def as_flags(values: Mapping[str, Value]) -> list[str]:
    """Return values as the flags that `twinset train detector` takes, rounded to four digits."""
    rounded = {name: value if isinstance(value, int) else float(f"{value:.4g}") for name, value in values.items()}
    parts: dict[str, dict[str, Value]] = {}
    flags = []
    for name, value in rounded.items():
        part, _, inner = name.rpartition(".")
        if part:
            parts.setdefault(part, {})[inner] = value
        else:
            flags.append(f"--set {name}={value}")
    return [*flags, *(f"--set {part}='{json.dumps(inner)}'" for part, inner in parts.items())]


def space_of(settings: TrainSettings) -> dict[str, Range]:
    """Return where the settings of this head's training are looked for."""
    return SPACE | OF_HEAD[settings.head]


def list_trials(study: "optuna.Study") -> list[Trial]:
    """Return the study's trials in their order."""
    found = []
    for trial in study.trials:
        judged = trial.intermediate_values
        last = trial.value if trial.value is not None else judged[max(judged)] if judged else None
        found.append(Trial(trial.number, trial.state.name.lower(), len(judged), last, dict(trial.params)))
    return found


def _open_study(settings: TrainSettings, out: Path, pruner: str) -> "optuna.Study":
    optuna = _optuna()
    pruners = {
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
        "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=2, max_resource=settings.epochs),
        "none": optuna.pruners.NopPruner,
    }
    out.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{(out / STUDY).resolve()}",
        study_name="detector",
        direction="maximize",
        pruner=pruners[pruner](),
        load_if_exists=True,
    )
    study.sampler = optuna.samplers.TPESampler(seed=settings.seed + len(study.trials))
    return study  # type: ignore[no-any-return]


def _keep(study: "optuna.Study", name: str, facts: Mapping[str, Any], out: Path) -> None:
    """Note facts with the study. Raises DataError where it has others."""
    told, given = study.user_attrs.get(name), json.loads(json.dumps(dict(facts)))
    if told is not None and told != given:
        differs = next(key for key in {**given, **told} if told.get(key) != given.get(key))
        raise DataError(
            f"{out / STUDY}: expected a study of these {name}, found one with {differs} {told.get(differs)!r}; "
            f"choose another --out"
        )
    study.set_user_attr(name, given)


def _take_up(study: "optuna.Study", settings: TrainSettings) -> None:
    """Queue what a kill left unfinished, or in a new study the settings as they are."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    if not study.trials:
        study.enqueue_trial({name: _value(settings, name) for name in space_of(settings)})


def _value(settings: TrainSettings, name: str) -> Value:
    part, _, inner = name.rpartition(".")
    value: Value = getattr(getattr(settings, part) if part else settings, inner)
    return value


def _suggest(trial: "optuna.Trial", name: str, where: Range) -> Value:
    if isinstance(where.low, int) and isinstance(where.high, int):
        return trial.suggest_int(name, where.low, where.high, log=where.log)
    return trial.suggest_float(name, where.low, where.high, log=where.log)


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:10]


def _epochs_logged(folder: Path) -> int:
    file = folder / "log.jsonl"
    return len(file.read_text(encoding="utf-8").splitlines()) if file.exists() else 0


def _mean(figures: Mapping[str, float]) -> float:
    return sum(figures.values()) / len(figures)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as exc:
        raise MissingExtra("optuna", "train") from exc
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _pruned() -> type[Exception]:
    """Return what ends a training that others are better than."""
    pruned: type[Exception] = _optuna().TrialPruned
    return pruned
