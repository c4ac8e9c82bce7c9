"""Feeds into stores: what is described how, what is not done twice, and what a kill -9 leaves."""

import csv
import json
import signal
import subprocess
import sys
import threading
import weakref
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeModels, draw_item, draw_photo, draw_product, make_feed, save_image

import twinset.indexing
import twinset.pipeline
from twinset.data.feed import FailedRow
from twinset.errors import DataError, FeedError, ModelMismatch
from twinset.indexing import index_feed
from twinset.pipeline import FETCH_AHEAD, LOOK_AHEAD, Wanted, read_ahead
from twinset.store import Key, open_store
from twinset.store.lance import LanceStore
from twinset.types import Detections, Product


class Recorder:
    def __init__(self):
        self.total, self.counts = None, []

    def start(self, total):
        self.total = total

    def advance(self, count=1):
        self.counts.append(count)


@pytest.fixture
def models():
    return FakeModels()


def write_feed(folder: Path, *rows: dict) -> Path:
    file = folder / "feed.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def change(feed: Path, product_id: str, **fields) -> None:
    """Rewrite one row of a CSV feed."""
    with feed.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["product_id"] == product_id:
            row.update(fields)
    with feed.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def stored(store: Path, product_id: str):
    return open_store(store).get(product_id)


# --- what is described ------------------------------------------------------------------------------------------------


def place(tmp_path, models, image, **fields):
    """Return category, score and box of a product's one item."""
    save_image(image, tmp_path / "a.png")
    feed = write_feed(tmp_path, {"product_id": "a", "image": "a.png", **fields})
    report = index_feed(feed, tmp_path / "store", models)
    assert report.failed == []
    (item,) = stored(tmp_path / "store", "a").items
    return item.category, item.score, item.box


def on_model(*items, size_wh=(160, 200)):
    """Return a photo whose background is not plain at the border, so that it has no item box."""
    photo = draw_photo(*items, size_wh=size_wh)
    photo[:, ::2] = np.where((photo[:, ::2] == 255).all(2, keepdims=True), 120, photo[:, ::2])
    return photo


TOP_AND_TROUSERS = ((draw_item("top"), (40, 20)), (draw_item("trousers", 0, (48, 100)), (40, 90)))


def test_a_product_alone_has_the_box_of_the_background_whatever_the_detector_would_say(tmp_path, models):
    assert place(tmp_path, models, draw_product("dress"), category="bag") == ("bag", None, (24, 32, 72, 96))


def test_on_a_model_the_product_is_the_detection_of_its_category(tmp_path, models):
    category, score, box = place(tmp_path, models, on_model(*TOP_AND_TROUSERS), category="top")
    assert (category, box) == ("top", (40, 20, 88, 84)) and score > 0.5


def test_a_faint_detection_of_the_category_will_do(tmp_path, models):
    photo = on_model(*TOP_AND_TROUSERS, (draw_item("bag", 0, (10, 10)), (120, 100)))
    category, score, box = place(tmp_path, models, photo, category="bag")
    assert (category, box) == ("bag", (120, 100, 130, 110)) and score < models.min_score


def test_without_one_it_is_the_whole_image(tmp_path, models):
    assert place(tmp_path, models, on_model(*TOP_AND_TROUSERS), category="scarf") == ("scarf", None, (0, 0, 160, 200))


@pytest.mark.parametrize(
    ("image", "box"),
    [
        pytest.param(draw_product("belt"), (24, 32, 72, 96), id="alone"),
        pytest.param(on_model(*TOP_AND_TROUSERS), (0, 0, 160, 200), id="on-model"),
    ],
)
def test_a_type_of_no_category_is_never_forced_into_one(tmp_path, models, image, box):
    assert place(tmp_path, models, image, article_type="Watches") == (None, None, box)


def test_without_a_type_the_best_detection_decides(tmp_path, models):
    category, score, box = place(tmp_path, models, on_model(*TOP_AND_TROUSERS))
    assert (category, box) == ("trousers", (40, 90, 88, 190)) and score > 0.5


def test_without_a_type_a_large_item_goes_before_a_surer_small_one(models, monkeypatch):
    sides = np.array([[60, 100, 80, 128], [10, 10, 80, 110], [0, 0, 96, 128]], np.float32)
    labels = np.array([models.categories.index(name) for name in ("bag", "dress", "top")])
    found = Detections(sides, np.array([0.9, 0.5, 0.2], np.float32), labels)
    monkeypatch.setattr(models, "detect_batch", lambda images, min_score: [found] * len(images))
    photo = np.zeros((128, 96, 3), np.uint8)

    def describe(**fields):
        (item,) = twinset.pipeline.describe_products([Product("P", ("p.png",), **fields)], [photo], [None], models)
        return item

    assert describe().category == "dress", "the larger of those above the operating threshold"
    assert describe().box == (10, 10, 80, 110)
    assert describe(category="bag", category_given=True).box == (60, 100, 80, 128)
    assert describe(category="top", category_given=True).score == pytest.approx(0.2)


def test_without_a_type_and_a_detection_it_is_the_whole_image_of_no_category(tmp_path, models):
    assert place(tmp_path, models, on_model()) == (None, None, (0, 0, 160, 200))


def test_each_image_of_a_product_is_an_item(tmp_path, models):
    for i in range(3):
        save_image(draw_product("top", i), tmp_path / f"{i}.png")
    feed = write_feed(tmp_path, {"product_id": "a", "images": ["0.png", "1.png", "2.png"], "category": "top"})
    index_feed(feed, tmp_path / "store", models)
    entry = stored(tmp_path / "store", "a")
    assert [item.image_no for item in entry.items] == [0, 1, 2] and len(set(entry.image_hashes)) == 3
    described = models.describe(draw_product("top", 2), np.array([[24, 32, 72, 96]], np.float32))[0]
    assert np.array_equal(entry.items[2].embedding, described.embedding)


# --- a second run -----------------------------------------------------------------------------------------------------


def test_a_second_run_does_nothing(tmp_path, models):
    feed, progress = make_feed(tmp_path / "shop"), Recorder()
    first = index_feed(feed, tmp_path / "store", models, progress=progress)
    assert (first.products, first.indexed, first.unchanged, first.failed) == (20, 20, 0, [])
    assert progress.total == 20 and sum(progress.counts) == 20
    second = index_feed(feed, tmp_path / "store", models)
    assert (second.products, second.indexed, second.unchanged, second.failed) == (20, 0, 20, [])
    assert models.described == 20


def test_a_changed_price_is_stored_without_describing_again(tmp_path, models):
    feed = make_feed(tmp_path / "shop")
    index_feed(feed, tmp_path / "store", models)
    before = stored(tmp_path / "store", "p003")
    change(feed, "p003", price="1.50")
    report = index_feed(feed, tmp_path / "store", models)
    after = stored(tmp_path / "store", "p003")
    assert (report.indexed, report.unchanged, models.described) == (1, 19, 20)
    assert after.product.price == 1.5 and np.array_equal(after.items[0].embedding, before.items[0].embedding)


def test_a_product_that_is_removed_meanwhile_is_new_if_its_row_changed(tmp_path, models, monkeypatch):
    feed = make_feed(tmp_path / "shop", 5)
    index_feed(feed, tmp_path / "store", models)
    change(feed, "p003", price="1.50")
    read = LanceStore.fingerprints

    def read_then_removed(store):
        found = read(store)
        store.delete([Key("default", "p003")])
        return found

    monkeypatch.setattr(LanceStore, "fingerprints", read_then_removed)
    report = index_feed(feed, tmp_path / "store", models)
    assert (report.indexed, report.unchanged, report.failed, models.described) == (1, 4, [], 6)
    assert stored(tmp_path / "store", "p003").product.price == 1.5


def test_a_changed_image_is_described_again(tmp_path, models):
    feed = make_feed(tmp_path / "shop")
    index_feed(feed, tmp_path / "store", models)
    save_image(draw_product("top", 200), tmp_path / "shop" / "images" / "p000.png")
    report = index_feed(feed, tmp_path / "store", models)
    assert (report.indexed, report.unchanged, models.described) == (1, 19, 21)


def test_a_changed_category_is_described_again(tmp_path, models):
    feed = make_feed(tmp_path / "shop")
    index_feed(feed, tmp_path / "store", models)
    change(feed, "p000", article_type="Jackets")
    report = index_feed(feed, tmp_path / "store", models)
    assert (report.indexed, models.described) == (1, 21)
    assert stored(tmp_path / "store", "p000").items[0].category == "outerwear"


def test_an_image_that_moves_and_one_that_goes_need_no_describing(tmp_path, models):
    for i in range(3):
        save_image(draw_product("top", i), tmp_path / f"{i}.png")
    row = {"product_id": "a", "category": "top"}
    index_feed(write_feed(tmp_path, row | {"images": ["0.png", "1.png", "2.png"]}), tmp_path / "store", models)
    before = stored(tmp_path / "store", "a")
    index_feed(write_feed(tmp_path, row | {"images": ["2.png", "0.png"]}), tmp_path / "store", models)
    after = stored(tmp_path / "store", "a")
    assert models.described == 3
    assert after.image_hashes == (before.image_hashes[2], before.image_hashes[0])
    assert np.array_equal(after.items[0].embedding, before.items[2].embedding)


def test_a_row_that_is_gone_is_no_delete(tmp_path, models):
    index_feed(make_feed(tmp_path / "shop", 20), tmp_path / "store", models)
    report = index_feed(make_feed(tmp_path / "shop", 5), tmp_path / "store", models)
    assert (report.products, report.unchanged) == (5, 5)
    assert open_store(tmp_path / "store").count() == 20


def test_another_model_needs_another_store(tmp_path, models):
    feed = make_feed(tmp_path / "shop", 5)
    index_feed(feed, tmp_path / "store", models)
    with pytest.raises(ModelMismatch):
        index_feed(feed, tmp_path / "store", FakeModels("fake-111111111111"))


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_bad_rows_and_images_are_listed_left_out_and_tried_again(tmp_path, models):
    feed = make_feed(tmp_path / "shop", 6)
    images = tmp_path / "shop" / "images"
    (images / "p001.png").write_bytes(b"not an image")
    (images / "p002.png").unlink()
    change(feed, "p003", price="cheap")
    report = index_feed(feed, tmp_path / "store", models)
    assert (report.products, report.indexed, report.unchanged) == (6, 3, 0)
    assert [(row.line, row.product_id) for row in report.failed] == [(3, "p001"), (4, "p002"), (5, "p003")]
    assert "text" in report.failed[0].reason and "p002.png" in report.failed[1].reason
    written = json.loads((tmp_path / "store" / "index-report.json").read_text(encoding="utf-8"))
    assert [FailedRow(**row) for row in written["failed"]] == report.failed and written["indexed"] == 3
    save_image(draw_product("dress", 1), images / "p001.png")
    again = index_feed(feed, tmp_path / "store", models)
    assert (again.indexed, again.unchanged, [row.product_id for row in again.failed]) == (1, 3, ["p002", "p003"])


def test_a_product_with_one_bad_image_is_found_by_its_others(tmp_path, models):
    save_image(draw_product("top", 1), tmp_path / "1.png")
    feed = write_feed(tmp_path, {"product_id": "a", "images": ["0.png", "1.png"], "category": "top"})
    report = index_feed(feed, tmp_path / "store", models)
    assert report.indexed == 1 and [row.product_id for row in report.failed] == ["a"]
    assert [item.image_no for item in stored(tmp_path / "store", "a").items] == [1]
    again = index_feed(feed, tmp_path / "store", models)
    assert (again.indexed, again.unchanged, [row.product_id for row in again.failed]) == (0, 0, ["a"])
    with pytest.raises(DataError):
        index_feed(feed, tmp_path / "store", models, strict=True)
    save_image(draw_product("top", 0), tmp_path / "0.png")
    report = index_feed(feed, tmp_path / "store", models)
    assert (report.indexed, report.failed, models.described) == (1, [], 2)


def test_a_product_whose_image_is_out_of_reach_keeps_what_is_known_of_it(tmp_path, models):
    feed = make_feed(tmp_path / "shop", 3)
    index_feed(feed, tmp_path / "store", models)
    (tmp_path / "shop" / "images" / "p000.png").unlink()
    change(feed, "p000", price="1")
    report = index_feed(feed, tmp_path / "store", models)
    assert report.indexed == 1 and [row.product_id for row in report.failed] == ["p000"]
    assert stored(tmp_path / "store", "p000").product.price == 1
    report = index_feed(feed, tmp_path / "store", models)
    assert (report.indexed, report.unchanged, len(report.failed)) == (0, 2, 1)


def test_strict_stops_at_the_first_bad_image_and_keeps_what_came_before(tmp_path, models):
    feed = make_feed(tmp_path / "shop", 6)
    (tmp_path / "shop" / "images" / "p004.png").unlink()
    with pytest.raises(FeedError, match=r"products\.csv:6: product p004: "):
        index_feed(feed, tmp_path / "store", models, strict=True)
    assert open_store(tmp_path / "store").count() == 4


def test_a_feed_that_cannot_be_read_makes_no_store(tmp_path, models):
    with pytest.raises(FeedError):
        index_feed(tmp_path / "nothing.csv", tmp_path / "store", models)
    assert not (tmp_path / "store").exists()


def test_an_interrupted_run_stores_what_it_took(tmp_path, models):
    class Interrupting(Recorder):
        def advance(self, count=1):
            if self.counts:
                return
            super().advance(count)
            raise KeyboardInterrupt

    feed = make_feed(tmp_path / "shop", 20)
    index_feed(make_feed(tmp_path / "shop", 10), tmp_path / "store", models)
    make_feed(tmp_path / "shop", 20)
    change(feed, "p000", price="1")
    with pytest.raises(KeyboardInterrupt):
        index_feed(feed, tmp_path / "store", models, progress=Interrupting())
    assert stored(tmp_path / "store", "p000").product.price == 1


# --- images over http -------------------------------------------------------------------------------------------------


@pytest.fixture
def image_server(tmp_path):
    """Serve tmp_path/web with ETags; yields its URL and the paths whose bodies were sent."""
    sent = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            file = tmp_path / "web" / self.path[1:]
            if not file.is_file():
                self.send_error(404)
                return
            etag = f'"{file.stat().st_mtime_ns}"'
            same = self.headers.get("If-None-Match") == etag
            data = b"" if same else file.read_bytes()
            self.send_response(304 if same else 200)
            self.send_header("ETag", etag)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            if data:
                sent.append(self.path)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", sent
    server.shutdown()
    server.server_close()
    thread.join()


def test_images_are_fetched_once_beside_those_on_disk(tmp_path, models, image_server):
    url, sent = image_server
    save_image(draw_product("top", 1), tmp_path / "web" / "1.png")
    save_image(draw_product("top", 2), tmp_path / "2.png")
    feed = write_feed(
        tmp_path,
        {"product_id": "a", "images": [f"{url}/1.png", "2.png", f"{url}/gone.png"], "category": "top"},
        {"product_id": "b", "image": "2.png", "category": "top"},
        {"product_id": "c", "image": f"{url}/1.png", "category": "top"},
    )
    report = index_feed(feed, tmp_path / "store", models, allow_private=True)
    assert report.indexed == 3 and [row.product_id for row in report.failed] == ["a"]
    assert "404" in report.failed[0].reason
    assert [item.image_no for item in stored(tmp_path / "store", "a").items] == [0, 1]
    sent.clear()
    report = index_feed(feed, tmp_path / "store", models, allow_private=True)
    assert report.indexed == 0 and sent == []


class Row:
    """A row that can be told to be gone."""

    def __init__(self, no, images):
        self.no, self.images = no, images


@pytest.mark.parametrize("first_image", ["a.png", "http://127.0.0.1:1/a.png"], ids=["on disk", "one fetched"])
def test_few_rows_are_held_while_they_are_read(tmp_path, first_image):
    alive = weakref.WeakSet()

    def rows():
        for no in range(200):
            row = Row(no, [first_image] if no == 0 else ["b.png"])
            alive.add(row)
            yield row

    read = read_ahead(
        rows(), lambda row: Wanted(Product(str(row.no), ("a",)), row.images), lambda row, _: row.no, tmp_path, False
    )
    most = 0
    for expected, no in enumerate(read):
        most = max(most, len(alive))
        assert no == expected
    assert expected == 199 and most <= LOOK_AHEAD + 2


def test_few_pictures_are_fetched_ahead(tmp_path, image_server):
    url, _ = image_server
    row = [f"{url}/{no}.png" for no in range(10)]
    drawn = []
    read = read_ahead(
        (drawn.append(no) or no for no in range(100)),
        lambda no: Wanted(Product(str(no), ("a",)), row),
        lambda no, contents: (no, len(contents)),
        tmp_path,
        True,
    )
    assert next(read) == (0, 10) and 10 * len(drawn) < FETCH_AHEAD + 10
    read.close()


def test_images_at_private_addresses_are_not_fetched(tmp_path, models, image_server):
    url, sent = image_server
    save_image(draw_product("top"), tmp_path / "web" / "1.png")
    feed = write_feed(tmp_path, {"product_id": "a", "image": f"{url}/1.png"})
    report = index_feed(feed, tmp_path / "store", models)
    assert "private" in report.failed[0].reason and sent == []


# --- killed -----------------------------------------------------------------------------------------------------------

KILLED_RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import twinset.indexing
import twinset.pipeline
from fakes import FakeModels
from pathlib import Path
twinset.pipeline.WRITE_PRODUCTS = twinset.pipeline.BATCH_IMAGES = 8
class Progress:
    done = 0
    def start(self, total): pass
    def advance(self, count=1):
        self.done += count
        print(self.done, flush=True)
        if self.done >= int(sys.argv[4]):
            sys.stdin.read()  # until the kill
twinset.indexing.index_feed(Path(sys.argv[2]), sys.argv[3], FakeModels(), progress=Progress())
"""


def test_a_killed_run_keeps_what_it_reported_and_the_next_goes_on(tmp_path, models, monkeypatch):
    feed = make_feed(tmp_path / "shop", 60)
    index_feed(feed, tmp_path / "whole", FakeModels())
    here = str(Path(__file__).parent)
    for stop_at in (8, 30):
        arguments = [here, str(feed), str(tmp_path / "store"), str(stop_at)]
        run = subprocess.Popen(
            [sys.executable, "-c", KILLED_RUN, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with run:
            reported = next(int(line) for line in run.stdout if int(line) >= stop_at)
            run.send_signal(signal.SIGKILL)
        assert run.returncode == -signal.SIGKILL
        assert reported <= open_store(tmp_path / "store").count() < 60
    kept = open_store(tmp_path / "store").count()
    monkeypatch.setattr(twinset.pipeline, "WRITE_PRODUCTS", 8)
    report = index_feed(feed, tmp_path / "store", models)
    assert (report.indexed, report.unchanged, models.described) == (60 - kept, kept, 60 - kept)
    resumed, whole = open_store(tmp_path / "store"), open_store(tmp_path / "whole")
    assert resumed.count() == whole.count() == 60
    queries = np.stack([whole.get(f"p{i:03}").items[0].embedding for i in range(60)])
    categories = [None] * 60
    assert resumed.search(queries, 24, categories) == whole.search(queries, 24, categories)


def test_many_images_are_described_in_batches_and_written_in_commits(tmp_path, monkeypatch):
    class Counting(FakeModels):
        def __init__(self):
            super().__init__()
            self.batches = []

        def describe_batch(self, images, boxes):
            self.batches.append(len(images))
            return super().describe_batch(images, boxes)

    models, progress = Counting(), Recorder()
    monkeypatch.setattr(twinset.pipeline, "BATCH_IMAGES", 4)
    monkeypatch.setattr(twinset.pipeline, "WRITE_PRODUCTS", 8)
    index_feed(make_feed(tmp_path / "shop", 22), tmp_path / "store", models, progress=progress)
    assert models.batches == [4, 4, 4, 4, 4, 2] and progress.counts == [8, 8, 6]
