"""The mean of detectors' weights: often better than any of them, where each was trained on from another.

Wortsman et al., "Model soups", ICML 2022, arXiv 2203.05482, section 2.
"""

import copy
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from twinset.detect.build import build_net
from twinset.detect.detector import load_config
from twinset.detect.export import export_detector
from twinset.detect.train import TrainSettings
from twinset.errors import UsageError
from twinset.training import take_mean


def average_detectors(run: Path, others: Sequence[Path], out: Path) -> float:
    """Write the mean of folders' detectors as `out`/detector.onnx and return its largest difference from torch.

    The settings beside it are those of `run`; its threshold and exponents are to be fitted anew. Raises UsageError for
    detectors of other categories, DataError for networks of another build.
    """
    config = load_config(run / "detector.json")
    for other in others:
        found = load_config(other / "detector.json").categories
        if found != config.categories:
            raise UsageError(
                f"--average: expected a detector of {', '.join(config.categories)}, found one of "
                f"{', '.join(found)} in {other}",
                field="average",
            )
    settings = _settings(run)
    net, *rest = (build_net(settings, config.categories, folder / "detector.onnx") for folder in (run, *others))
    take_mean(net, rest)
    worst = export_detector(copy.deepcopy(net).eval(), out / "detector.onnx")
    config.save(out / "detector.json")
    return worst


def _settings(run: Path) -> TrainSettings:
    """Return what decides on the network: what its training noted, else what ships."""
    file = run / "settings.json"
    noted = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    kept = {name: noted[name] for name in ("head", "backbone", "height", "width") if name in noted}
    return dataclasses.replace(TrainSettings(), **kept)
