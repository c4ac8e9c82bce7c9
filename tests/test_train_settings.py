"""Settings of trainings that can't be: each is refused in one line that names it."""

import math
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("torch")

from twinset.backbone import EfficientNetLite
from twinset.cli import cli
from twinset.describe.train import EncoderSettings
from twinset.detect.augment import AugmentSettings
from twinset.detect.losses import LossSettings
from twinset.detect.ssd import SsdSettings
from twinset.detect.train import TrainSettings
from twinset.errors import UsageError
from twinset.taxonomy import default_taxonomy


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        *((TrainSettings, {"height": height}) for height in (100, 0)),
        *((TrainSettings, {name: 0}) for name in ("epochs", "warmup", "learning_rate")),
        *((TrainSettings, {name: -1}) for name in ("seed", "packshots", "worn", "others", "minutes", "frozen_blocks")),
        *((TrainSettings, {name: math.nan}) for name in ("small_until", "weight_decay", "backbone_rate")),
        *((TrainSettings, {name: 2}) for name in ("ema", "repeat_below", "worn_from")),
        (TrainSettings, {"batch": 1}),
        *((EncoderSettings, {name: 0}) for name in ("size", "epochs", "warmup", "temperature", "products")),
        *((EncoderSettings, {name: -1}) for name in ("street", "seed", "mask_weight")),
        (EncoderSettings, {"alike": 29}),
        *((AugmentSettings, {name: 1.5}) for name in ("mosaic", "colour", "aspect")),
        *((AugmentSettings, {"scale": scale}) for scale in ((1.3, 0.6), (0.0, 1.0))),
        *((AugmentSettings, change) for change in ({"max_zoom": 1.0}, {"min_zoom": 0.9}, {"margin": (-1.0, 0.5)})),
        *((LossSettings, {name: 0}) for name in ("topk", "span", "centre")),
        *((SsdSettings, change) for change in ({"match_iou": 2.0}, {"negatives": -1.0})),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else str(value),
)
def test_settings_that_can_not_be_are_refused(settings: type, change: dict[str, Any]) -> None:
    (name,) = change
    with pytest.raises(UsageError, match=f"{'size' if name == 'height' else name}: expected .*, found "):
        settings(**change)


def test_no_more_blocks_are_frozen_than_there_are() -> None:
    with pytest.raises(UsageError, match="frozen_blocks: expected 0 to 16, found 100"):
        EfficientNetLite("lite0").freeze(100)


@pytest.mark.parametrize(
    "words",
    [
        ("--seed", "-1"),
        ("--size", "0x0"),
        ("--set", "warmup=0"),
        ("--set", 'augment={"mosaic": 3}'),
        ("--leave-out", ",".join(default_taxonomy().names)),
    ],
    ids=lambda words: " ".join(words)[:30],
)
def test_flags_that_can_not_be_end_in_one_line(words: tuple[str, ...]) -> None:
    ran = CliRunner().invoke(cli, ["train", "detector", "--drawn", "4", "--out", "nowhere", *words])

    assert ran.exit_code == 2 and ran.stderr.startswith("Error: ") and ran.stderr.count("\n") == 1, ran.output
    assert words[0] in ran.stderr or words[1].partition("=")[0] in ran.stderr or "size" in ran.stderr
