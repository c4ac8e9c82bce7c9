"""The command line where the contract is silent: what people read, progress, pipes, Ctrl-C, odd names and terminals."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path

import pytest
from conftest import is_one_error_line, write_feed
from fakes import FakeModels, draw_product, draw_street, save_image

from twinset.cli.progress import LineProgress, terminal_progress
from twinset.cli.train import changed_settings
from twinset.detect.detector import DetectorConfig
from twinset.errors import UsageError
from twinset.models import WEIGHTS

TESTS = Path(__file__).parent
WITH_FAKES = (
    "import sys, twinset.models, twinset.cli; from fakes import FakeModels\n"
    "twinset.models.load_models = lambda *args, **given: FakeModels()\n"
    "sys.argv[0] = 'twinset'; twinset.cli.main()"
)


def process(*args: object, code: str = WITH_FAKES, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in a process of its own, as a shell does."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        env=os.environ | {"PYTHONPATH": str(TESTS)} | environment,
        timeout=120,
    )


# --- what people read -------------------------------------------------------------------------------------------------


def test_detect_prints_a_line_for_each_item(run, street):
    assert run("detect", "street.png").stdout.splitlines() == [
        "street.png: 3 items",
        "  trousers     0.567  40,100,88,190        black 100%",
        "  top          0.548  40,20,88,84          red 100%",
        "  bag          0.514  110,80,140,110       pink 100%",
    ]


def test_search_prints_hits_below_each_item(run, store, shop_folder):
    lines = run("search", shop_folder / "images" / "p000.png", "--store", store, "--k", 2).stdout.splitlines()
    assert lines[0].endswith("p000.png: 1 item") and lines[1].startswith("  top ")
    assert lines[2:] == ["    1.000  p000  10.00 EUR  Top 0", "    1.000  twin  10.00 EUR  Twin"]


def test_a_crop_of_no_category_says_so(run, store, street):
    assert "  any category " in run("search", street, "--store", store, "--whole").stdout


def test_similar_prints_hits(run, store):
    lines = run("similar", "p000", "--store", store, "--k", 1).stdout.splitlines()
    assert lines == ["p000: 1 similar products", "  1.000  twin  10.00 EUR  Twin"]


def test_similar_refuses_a_store_of_another_model_if_one_is_named(run, store, tmp_path):
    for name in ("detector.onnx", "encoder.onnx"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "encoder.json").write_text("{}")
    DetectorConfig(("top",)).save(tmp_path / "detector.json")
    ran = run("similar", "p000", "--store", store, "--model", tmp_path)
    assert ran.code == 1 and is_one_error_line(ran.stderr) and "fake-000000000000" in ran.stderr


def test_index_prints_a_summary_and_the_failed_rows_with_their_lines(run, tmp_path):
    write_feed(tmp_path, "product_id,image\n1,images/a.png\n2,images/none.png\n,images/a.png\n")
    ran = run("index", "products.csv")
    assert re.fullmatch(r"3 products: 1 indexed, 0 unchanged, 2 failed, in \d+\.\d s\n", ran.stdout)
    second, third = ran.stderr.splitlines()
    assert second.startswith("products.csv:3: product 2: ") and "none.png" in second
    assert third.startswith("products.csv:4: ")


def test_index_names_the_types_that_the_taxonomy_does_not_know(run, tmp_path):
    write_feed(
        tmp_path, "product_id,image,article_type\n1,images/a.png,Gizmo\n2,images/b.png,Gizmo\n3,images/c.png,Socks\n"
    )
    ran = run("index", "products.csv")
    assert ran.code == 0 and ran.stderr.count("\n") == 1 and "'Gizmo' of 2 products" in ran.stderr
    strict = run("index", "products.csv", "--strict")
    assert strict.code == 1 and "Gizmo" in strict.stderr


def test_search_writes_a_page(run, store, street, tmp_path):
    assert run("search", street, "--store", store, "--html", "found.html").code == 0
    page = (tmp_path / "found.html").read_text(encoding="utf-8")
    assert "data:image/jpeg;base64," in page and "p000" in page


@pytest.mark.parametrize("html", ["missing/found.html", "."])
def test_a_page_that_cannot_be_written_is_said_before_the_search(run, street, html):
    ran = run("search", street, "--store", "missing", "--html", html)
    assert ran.code == 1 and is_one_error_line(ran.stderr) and "written" in ran.stderr


def test_a_folder_without_photos_is_an_error(run, tmp_path):
    (tmp_path / "empty").mkdir()
    ran = run("detect", "empty", "--json")
    assert ran.code == 1 and is_one_error_line(ran.stderr) and "empty" in ran.stderr


def test_a_box_may_be_in_the_one_photo_of_a_folder(run, store, tmp_path):
    save_image(draw_street(), tmp_path / "photos" / "street.png")
    assert run("search", "photos", "--store", store, "--box", "40,20,88,84", "--json").json["items"][0]["hits"]
    save_image(draw_street(), tmp_path / "photos" / "other.png")
    assert run("search", "photos", "--store", store, "--box", "40,20,88,84").code == 2


def test_threads_reach_the_model(run, street, store, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "twinset.models.load_models", lambda name, threads: asked.append((name, threads)) or FakeModels()
    )
    run("detect", street, "--threads", 3)
    run("search", street, "--store", store, "--threads", 2, "--model", "clean")
    assert asked == [("default", 3), ("clean", 2)]


def test_models_lists_what_ships(run, tmp_path, monkeypatch):
    from twinset.detect.detector import DetectorConfig

    folder = tmp_path / "weights" / "tiny"
    folder.mkdir(parents=True)
    for name in ("detector.onnx", "encoder.onnx"):
        (folder / name).write_bytes(b"12345")
    DetectorConfig(("top", "bag")).save(folder / "detector.json")
    (folder / "encoder.json").write_text("{}")
    (folder / "card.md").write_text("# tiny")
    monkeypatch.setattr("twinset.models.WEIGHTS", tmp_path / "weights")
    entry = run("models", "--json").json
    assert (entry["name"], entry["bytes"], entry["categories"]) == ("tiny", 10, ["top", "bag"])
    assert re.fullmatch(r"tiny-[0-9a-f]{12}", entry["version"]) and entry["card"] == str(folder / "card.md")
    assert "tiny" in run("models").stdout and "card.md" in run("models").stdout


@pytest.mark.parametrize("text", ["{", "[]", "caf\xe9"])
def test_a_models_damaged_settings_are_one_line(run, store, tmp_path, monkeypatch, text):
    folder = shutil.copytree(WEIGHTS / "default", tmp_path / "weights" / "mine")
    (folder / "encoder.json").write_text(text, encoding="latin-1")
    monkeypatch.setattr("twinset.models.WEIGHTS", folder.parent)
    for asked in (("similar", "p000", "--store", store, "--model", folder), ("models",)):
        ran = run(*asked)
        assert ran.code == 1 and is_one_error_line(ran.stderr) and f"{folder / 'encoder.json'}: expected" in ran.stderr


@pytest.mark.parametrize("command", [(), ("train",), ("evaluate",), ("bench",)], ids=lambda command: " ".join(command))
def test_a_group_alone_shows_its_help(run, command):
    ran = run(*command)
    assert ran.code == 2 and "Commands:" in ran.stderr


# --- errors of a real process -----------------------------------------------------------------------------------------


def test_no_traceback_from_python_m_twinset(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "twinset", "index", str(tmp_path / "missing.csv")], capture_output=True, text=True
    )
    assert ran.returncode == 1 and ran.stdout == "" and is_one_error_line(ran.stderr)


def test_a_full_disk_is_one_line(run, street, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("twinset.search.detect_image", full)
    ran = run("detect", street)
    assert (ran.code, ran.stderr) == (1, "Error: No space left on device\n")


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    for i in range(30):
        save_image(draw_street(), tmp_path / f"{i:02}.png")
    command = [sys.executable, "-u", "-c", WITH_FAKES, "detect", str(tmp_path), "--json"]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as writer:
        assert writer.stdout and writer.stderr
        assert json.loads(writer.stdout.readline())["image"].endswith("00.png")
        writer.stdout.close()
        stderr = writer.stderr.read()
    assert (writer.returncode, stderr) == (0, b"")


def test_ctrl_c_keeps_what_was_described_and_the_next_run_goes_on(run, fake_models, tmp_path, monkeypatch):
    rows = []
    for i in range(40):
        save_image(draw_product("top", i), tmp_path / "images" / f"{i}.png")
        rows.append(f"{i},images/{i}.png,top\n")
    (tmp_path / "products.csv").write_text("product_id,image,category\n" + "".join(rows))
    describe, batches = fake_models.describe_batch, []

    def interrupted(images, boxes):
        batches.append(len(images))
        if len(batches) == 2:
            raise KeyboardInterrupt
        return describe(images, boxes)

    monkeypatch.setattr(fake_models, "describe_batch", interrupted)
    ran = run("index", "products.csv")
    assert ran.code == 130 and ran.stdout == "" and ran.stderr.split() == ["stopped"]
    monkeypatch.setattr(fake_models, "describe_batch", describe)
    report = run("index", "products.csv", "--json").json
    assert report["unchanged"] == 32 and report["indexed"] == 8


# --- names and terminals ----------------------------------------------------------------------------------------------


def test_json_is_json_on_a_terminal_that_knows_no_unicode(tmp_path):
    save_image(draw_street(), tmp_path / "거리.png")
    ran = process("detect", tmp_path, "--json", PYTHONIOENCODING="ascii")
    assert ran.returncode == 0 and json.loads(ran.stdout)["image"].endswith("거리.png")


def test_json_shows_other_scripts_as_they_are(run, tmp_path):
    save_image(draw_street(), tmp_path / "거리.png")
    assert "거리.png" in run("detect", "거리.png", "--json").stdout


@pytest.mark.parametrize("flags", [["--json"], []], ids=["json", "people"])
def test_a_file_name_that_is_no_utf_8_is_shown_escaped(tmp_path, flags):
    odd = os.fsencode(tmp_path) + b"/caf\xe9.png"
    save_image(draw_street(), tmp_path / "plain.png").rename(Path(os.fsdecode(odd)))
    ran = process("detect", tmp_path, *flags)
    assert ran.returncode == 0 and ran.stderr == "" and "caf\\udce9.png" in ran.stdout


# --- progress ---------------------------------------------------------------------------------------------------------


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(capsys, monkeypatch):
    clock = iter([0.0, 0.0, 2.0, 11.0, 12.0])
    monkeypatch.setattr("twinset.cli.progress.time.monotonic", lambda: next(clock))
    progress = LineProgress("indexing")
    progress.start(100)
    for _ in range(3):
        progress.advance(11)
    out, err = capsys.readouterr()
    assert out == "" and err == "indexing: 22/100, 2.0/s, 39 s left\n"


def test_progress_on_a_terminal_is_a_bar_with_rate_and_time_left(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with terminal_progress("indexing") as progress:
        progress.start(4)
        progress.advance(1)
        progress.advance(1)
    out, err = capsys.readouterr()
    assert out == "" and "indexing" in err and "2/4" in err and "/s" in err


# --- settings of training ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inner:
    topk: int = 9
    alpha: float = 0.5
    scale: tuple[float, float] = (0.5, 2.0)


@dataclass(frozen=True)
class Settings:
    epochs: int = 20
    rate: float = 0.5
    backbone: str = "lite0"
    loss: Inner = field(default_factory=Inner)


def test_flags_and_set_change_settings():
    changed = changed_settings(Settings(), {"epochs": 3}, ["rate=1", "backbone=lite2", 'loss={"topk": 13}'])
    assert changed == Settings(3, 1.0, "lite2", Inner(13))
    assert type(changed.rate) is float


def test_a_group_of_settings_that_is_set_twice_has_both_changes():
    changed = changed_settings(Settings(), {}, ['loss={"topk": 13}', 'loss={"alpha": 1, "scale": [1, 3]}'])
    assert changed.loss == Inner(13, 1.0, (1.0, 3.0))


@pytest.mark.parametrize(
    "change",
    [
        *("bogus=1", "epochs=many", "epochs=1.5", "epochs", 'loss={"bogus": 1}', "loss=3"),
        *('loss={"topk": 1.5}', 'loss={"alpha": "x"}', 'loss={"scale": [1]}', 'loss={"scale": 1}'),
    ],
)
def test_a_setting_that_cannot_be_is_named(change):
    with pytest.raises(UsageError, match=f"--set.*{change.partition('=')[0]}"):
        changed_settings(Settings(), {}, [change])


def test_the_flags_of_training_are_settings_of_both():
    pytest.importorskip("torch")
    from twinset.describe.train import EncoderSettings
    from twinset.detect.train import TrainSettings

    for settings in (TrainSettings, EncoderSettings):
        assert {"epochs", "minutes", "learning_rate", "seed"} <= {setting.name for setting in fields(settings)}


def test_training_an_encoder_needs_a_catalogue(run):
    pytest.importorskip("torch")
    ran = run("train", "encoder", "--out", "run")
    assert ran.code == 2 and is_one_error_line(ran.stderr) and "--catalog" in ran.stderr


def coco(folder: Path, boxes: list[list[float]]) -> Path:
    """Write truth.json: one street.png with tops in these x, y, width, height boxes."""
    save_image(draw_street(), folder / "street.png")
    image = {"id": 1, "file_name": "street.png", "width": 160, "height": 200}
    annotations = [
        {"id": i, "image_id": 1, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for i, box in enumerate(boxes, 1)
    ]
    file = folder / "truth.json"
    categories = [{"id": 1, "name": "top"}]
    file.write_text(json.dumps({"images": [image], "annotations": annotations, "categories": categories}))
    return file


def test_train_detector_hands_its_settings_and_photos_on(run, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    asked = []

    def train(settings, samples, categories, out, evaluate, start):
        asked.append((settings, samples, out, evaluate, start))
        return out / "detector.onnx"

    monkeypatch.setattr("twinset.detect.train.train_detector", train)
    threads = torch.get_num_threads()
    try:
        file = coco(tmp_path, [[40, 20, 48, 64], [900, 900, 10, 10]])
        ran = run("train", "detector", "--coco", file, tmp_path, "--out", "run", "--epochs", 3, "--set", "batch=4")
        assert ran.code == 0 and ran.stdout == "run/detector.onnx\n"
        assert "truth.json" in ran.stderr and "1 problems" in ran.stderr  # and goes on
        ((settings, samples, out, evaluate, start),) = asked
        assert (settings.epochs, settings.batch, out, evaluate, start) == (3, 4, Path("run"), None, None)
        assert [sample.boxes.tolist() for sample in samples] == [[[40, 20, 88, 84]]]
        strict = run("train", "detector", "--coco", file, tmp_path, "--out", "run", "--strict")
        assert strict.code == 1 and is_one_error_line(strict.stderr)
    finally:
        torch.set_num_threads(threads)


def test_pictures_of_a_catalogue_that_cannot_be_trained_on_are_named(tmp_path, caplog):
    pytest.importorskip("torch")
    from twinset.data.feed import read_feed
    from twinset.detect.samples import feed_samples
    from twinset.taxonomy import default_taxonomy

    taxonomy = default_taxonomy()
    feed = read_feed(
        write_feed(tmp_path, "product_id,image,category\n1,images/a.png,top\n2,images/none.png,top\n"), taxonomy
    )
    assert len(feed_samples(feed, taxonomy.names, taxonomy)) == 1
    assert "product 2 is left out" in caplog.text and "none.png" in caplog.text


# --- evaluation -------------------------------------------------------------------------------------------------------


def test_evaluate_detector_prints_a_table_and_writes_a_page(run, fake_models, tmp_path, monkeypatch):
    pytest.importorskip("faster_coco_eval")
    monkeypatch.setattr(FakeModels, "detector", fake_models, raising=False)
    file = coco(tmp_path, [[40, 20, 48, 64], [900, 900, 10, 10]])
    ran = run("evaluate", "detector", "--coco", file, "--html", "failures.html")
    assert ran.code == 0 and "top" in ran.stdout and "1.000" in ran.stdout
    assert "1 problems" in ran.stderr and (tmp_path / "failures.html").exists()
    assert run("evaluate", "detector", "--coco", file, "--strict").code == 1


def finds_groups(models: FakeModels) -> None:
    """Have a model find groups, as one trained with --level group does."""
    from twinset.levels import at_level

    group_of = {category.name: category.group for category in models.taxonomy.categories}
    models.categories = tuple(group_of[name] for name in models.categories)
    models.taxonomy = at_level(models.taxonomy, "group")


@pytest.mark.parametrize("flags", [("packshots",), ("retrieval", "--no-baselines")], ids=lambda flags: flags[0])
def test_a_model_of_groups_is_measured_on_groups(run, fake_models, shop_folder, flags):
    words = ("evaluate", flags[0], shop_folder / "products.csv", *flags[1:], "--json")
    before = run(*words).json["n"]
    finds_groups(fake_models)
    ran = run(*words)
    assert ran.code == 0 and ran.json["n"] == before > 0
    assert set(ran.json.get("per_category", ["clothes/top"])) & {"clothes/top"}


@pytest.mark.parametrize(
    "words",
    [("data", "audit", "--out", "s.json"), ("evaluate", "audit", "--planted", "4"), ("evaluate", "closeups")],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_model_of_groups_is_refused_where_categories_are_needed(run, fake_models, tmp_path, words):
    finds_groups(fake_models)
    ran = run(*words[:2], "--coco", coco(tmp_path, [[40, 20, 48, 64]]), *words[2:])
    assert ran.code == 2 and is_one_error_line(ran.stderr) and "found --level group" in ran.stderr


@pytest.mark.parametrize("flags", [("packshots",), ("retrieval", "--no-baselines")], ids=lambda flags: flags[0])
def test_evaluate_on_a_feed_prints_figures_and_names_bad_rows(run, shop_folder, tmp_path, flags):
    feed = shop_folder / "evaluated.csv"  # beside the images
    feed.write_text(
        (shop_folder / "products.csv").read_text() + "p000,Again,Tshirts,1,EUR,images/p001.png,true,summer\n"
    )
    ran = run("evaluate", flags[0], feed, *flags[1:], "--json")
    assert ran.code == 0 and ran.json["n" if flags[0] == "packshots" else "products"] > 0
    assert "duplicate" in ran.stderr and "1 problems" in ran.stderr
    assert len(run("evaluate", flags[0], feed, *flags[1:]).stdout.splitlines()) > 1
    assert run("evaluate", flags[0], feed, *flags[1:], "--strict").code == 1
