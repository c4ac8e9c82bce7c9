"""Reports: one file each, with the failures as pictures."""

import re
from pathlib import Path

import pytest
from fakes import FakeModels, draw_product, draw_street, save_image
from test_evaluate_products import write_feed

from twinset.data.coco import read_coco, write_coco
from twinset.data.labelled import Labelled, LabelledImage
from twinset.errors import DataError
from twinset.evaluate import report
from twinset.evaluate.detection import DetectionFigures, evaluate_detector
from twinset.evaluate.packshots import evaluate_packshots
from twinset.evaluate.report_detection import detection_table, write_detection
from twinset.evaluate.retrieval import evaluate_retrieval
from twinset.taxonomy import default_taxonomy


@pytest.fixture
def detection(tmp_path: Path) -> DetectionFigures:
    """The figures of a photo with a hat that isn't there, and a bag and trousers that are not labelled."""
    pytest.importorskip("faster_coco_eval")
    import numpy as np

    path = save_image(draw_street(), tmp_path / "a <b> photo.png")
    boxes = np.array([[40, 20, 88, 84], [0, 0, 20, 20]], np.float32)
    image = LabelledImage(path, 160, 200, boxes, ("top", "hat"), np.zeros(2, bool), "test")
    write_coco(Labelled([image], ("top", "bag", "hat"), []), tmp_path / "truth.json")
    return evaluate_detector(read_coco(tmp_path / "truth.json", tmp_path, default_taxonomy()), FakeModels())


def without_fetches(page: str) -> bool:
    """Return whether a page shows all by itself."""
    return not re.search(r'(src|href)="(?!data:)', page)


def test_detection_report_shows_the_photo_with_its_failures(detection, tmp_path):
    write_detection(tmp_path / "report.html", {"coco": detection})
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 1
    assert "a &lt;b&gt; photo.png" in page
    assert "True category by what was found" in page
    assert without_fetches(page)


def test_detection_report_shows_what_is_different_from_another(detection, tmp_path):
    write_detection(tmp_path / "report.html", {"coco": detection}, {"coco": {"map_50": 0.25, "map_50 hat": -0.5}})
    page = (tmp_path / "report.html").read_text()
    assert "<td>map_50</td><td>+0.250</td>" in page and "<td>map_50 hat</td><td>-0.500</td>" in page


def test_detection_table_ends_with_the_means(detection):
    header, rows = detection_table(detection)
    assert all(len(row) == len(header) for row in rows)
    assert rows[0] == ("top", 1, 1, 1, 1, 1)
    assert rows[1] == ("hat", 1, 0, 0, "–", 0)
    assert rows[2] == ("mean", 2, 0.5, 0.5, 0.5, 0.5)
    assert rows[3][2] == "–"  # no category has ten boxes


def test_packshot_report_shows_what_was_taken_for_what(tmp_path):
    feed = write_feed(
        tmp_path,
        ("10", "Tee", "Tshirts", "Red", draw_product("top")),
        ("20", "Not a skirt", "Skirts", "Red", draw_product("top", 1)),
    )
    figures = evaluate_packshots(feed, FakeModels())
    report.write_packshots(tmp_path / "report.html", figures)
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 1
    assert "skirt, found top: Not a skirt" in page
    header, rows = report.packshot_table(figures)
    assert all(len(row) == len(header) for row in rows)
    assert rows[-1] == ("all", 2, 0.5)
    assert without_fetches(page)


def test_retrieval_report_shows_queries_before_their_hits(tmp_path):
    feed = write_feed(
        tmp_path,
        ("10", "Query tee", "Tshirts", "Red", draw_product("top")),
        ("11", "Hit tee", "Tshirts", "Red", draw_product("top", 1)),
    )
    figures = evaluate_retrieval(feed, FakeModels(), baselines=False)
    report.write_retrieval(tmp_path / "report.html", figures)
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2
    assert page.index("Query tee") < page.index("Hit tee")
    header, rows = report.retrieval_table(figures)
    assert [row[0] for row in rows][:2] == ["fake", "fake, within category"]
    assert "alone or laid flat (within category)" in [row[0] for row in rows]
    assert report.likeness_lines(figures)[0].startswith("title finds its product in the first ten: 1.000")
    assert all(len(row) == len(header) for row in rows)
    assert without_fetches(page)


def test_a_report_that_cannot_be_written_says_so(detection, tmp_path):
    with pytest.raises(DataError, match="expected a file that can be written"):
        write_detection(tmp_path / "no" / "folder.html", {"coco": detection})
