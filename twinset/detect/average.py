"""The mean of two detectors' weights: often better than either, where one was trained on from the other.

Wortsman et al., "Model soups", ICML 2022, arXiv 2203.05482, section 2.
"""

import copy
import dataclasses
import json
from pathlib import Path

from twinset.detect.build import build_net
from twinset.detect.detector import load_config
from twinset.detect.export import export_detector
from twinset.detect.train import TrainSettings
from twinset.errors import UsageError


def average_detectors(run: Path, other: Path, out: Path) -> float:
    """Write the mean of two folders' detectors as `out`/detector.onnx and return its largest difference from torch.

    The settings beside it are those of `run`; its threshold and exponents are to be fitted anew. Raises UsageError for
    detectors of other categories, DataError for networks of another build.
    """
    config, others = load_config(run / "detector.json"), load_config(other / "detector.json")
    if config.categories != others.categories:
        raise UsageError(
            f"--average: expected a detector of {', '.join(config.categories)}, found one of "
            f"{', '.join(others.categories)} in {other}",
            field="average",
        )
    settings = _settings(run)
    net, second = (build_net(settings, config.categories, folder / "detector.onnx") for folder in (run, other))
    ours, theirs = net.state_dict(), second.state_dict()
    mean = {name: (value + theirs[name]) / 2 for name, value in ours.items() if value.is_floating_point()}
    net.load_state_dict(ours | mean)
    worst = export_detector(copy.deepcopy(net).eval(), out / "detector.onnx")
    config.save(out / "detector.json")
    return worst


def _settings(run: Path) -> TrainSettings:
    """Return what decides on the network: what its training noted, else what ships."""
    file = run / "settings.json"
    noted = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    kept = {name: noted[name] for name in ("head", "backbone", "height", "width") if name in noted}
    return dataclasses.replace(TrainSettings(), **kept)
