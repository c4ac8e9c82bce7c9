"""A store that is mapped from files and followed from version to version answers as one that is read anew."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from test_store import CATEGORIES, FILTERS, MODEL, by_hand, ids, make_entry, random_entries, unit

from twinset.store import Key, nearest, open_store, parse_where, part, snapshot, view, views

QUERY = unit(*np.linspace(-1, 2, 256))


@pytest.fixture
def small(monkeypatch):
    """Stores of 50 rows are mapped, and all but single rows take both passes."""
    monkeypatch.setattr(views, "MAPPED_ROWS", 50)
    monkeypatch.setattr(nearest, "EXACT_ROWS", 1)
    monkeypatch.setattr(nearest, "EXACT_SHARE", 10**9)


def snapshots(folder):
    return sorted(int(path.name) for path in (folder / "search").iterdir())


def same_as(store, entries):
    for category in CATEGORIES:
        for where in ([], ["price<40"], ["colour=red or tags.no=8,12"]):
            holds = {"price<40": FILTERS["price<40"]}.get("".join(where), lambda entry: True)
            if where and where[0].startswith("colour"):
                holds = lambda e: FILTERS["colour=red"](e) or e.product.tags.get("no") in ("8", "12")  # noqa: E731
            hits = store.search(QUERY[None], 7, [category], parse_where(where))[0]
            expected = by_hand(entries, QUERY, 7, category, holds)
            assert ids(hits) == [product_id for product_id, _ in expected]
            assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=2e-5)


def test_a_mapped_store_finds_what_a_plain_loop_finds(small, tmp_path):
    entries = random_entries(120)
    open_store(tmp_path / "s", MODEL, create=True).upsert(entries)
    store = open_store(tmp_path / "s")
    assert len(snapshots(tmp_path / "s")) == 1
    same_as(store, entries)
    again = open_store(tmp_path / "s")
    same_as(again, entries)
    assert again.count() == 120 and again.get("p7", "b").product == entries[7].product
    assert again.fingerprints() == store.fingerprints() and len(again.fingerprints()) == 120


def test_changes_are_followed_without_reading_what_stayed(small, tmp_path, monkeypatch):
    entries = random_entries(120)
    store = open_store(tmp_path / "s", MODEL, create=True)
    store.upsert(entries)
    store.compact()
    reader = open_store(tmp_path / "s")
    read = []
    part_of_table = view.part_of_table
    monkeypatch.setattr(view, "part_of_table", lambda rows: read.append(len(rows)) or part_of_table(rows))
    for step in range(12):  # more steps than parts are kept
        shop = ("default", "b")[step % 2]
        changed = make_entry(f"p{step}", QUERY, category="top", price=1.0, shop=shop, tags={"no": "12"})
        new = make_entry(f"new{step}", unit(1, step), category="bag", shop="c")
        store.upsert([changed, new])
        assert store.delete([Key(("default", "b")[(step + 50) % 2], f"p{step + 50}")]) == 1
        entries = [e for e in entries if e.product.product_id not in (f"p{step}", f"p{step + 50}")] + [changed, new]
        same_as(reader, entries)
        assert reader.count() == len(entries)
    assert max(read) <= 30  # rows: of the 24 products that changed, never the 240 there are
    with pytest.raises(Exception, match="p50"):
        reader.get("p50")
    store.compact()
    same_as(reader, entries)
    same_as(open_store(tmp_path / "s"), entries)


def test_compacting_writes_a_snapshot_once_much_changed(small, tmp_path):
    store = open_store(tmp_path / "s", MODEL, create=True)
    store.upsert(random_entries(120))
    store.compact()
    (first,) = snapshots(tmp_path / "s")
    store.upsert([make_entry("a", unit(1))])
    store.compact()
    assert snapshots(tmp_path / "s") == [first]
    store.upsert([make_entry(f"b{i}", unit(1, i)) for i in range(60)])
    store.compact()
    (second,) = snapshots(tmp_path / "s")
    assert second > first and store.count() == 181


@pytest.mark.parametrize("damage", ["cut", "noise", "gone", "other format", "half written"])
def test_a_damaged_snapshot_is_made_anew(small, tmp_path, damage):
    entries = random_entries(120)
    open_store(tmp_path / "s", MODEL, create=True).upsert(entries)
    open_store(tmp_path / "s")
    (version,) = snapshots(tmp_path / "s")
    folder = tmp_path / "s" / "search" / str(version)
    if damage == "half written":
        folder.rename(folder.with_name(f".{version}.123"))
    for file in folder.iterdir() if folder.exists() else ():
        if damage == "gone":
            file.unlink()
        elif damage == "other format":
            file.write_text(file.read_text().replace('"format": 1', '"format": 2')) if file.suffix == ".json" else None
        else:
            file.write_bytes(file.read_bytes()[:40] if damage == "cut" else b"noise")
    same_as(open_store(tmp_path / "s"), entries)
    assert snapshots(tmp_path / "s") == [version]


def test_a_snapshot_of_another_store_is_not_used(small, tmp_path):
    for name, seed in (("s", 0), ("t", 1)):
        open_store(tmp_path / name, MODEL, create=True).upsert(random_entries(120, seed))
        open_store(tmp_path / name)
    (tmp_path / "s" / "search").rename(tmp_path / "away")
    (tmp_path / "t" / "search").rename(tmp_path / "s" / "search")
    same_as(open_store(tmp_path / "s"), random_entries(120, 0))


def test_a_full_disk_leaves_the_store_searchable(small, tmp_path, monkeypatch):
    entries = random_entries(120)
    open_store(tmp_path / "s", MODEL, create=True).upsert(entries)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshot, "_write_vectors", full)
    same_as(open_store(tmp_path / "s"), entries)
    assert snapshots(tmp_path / "s") == []


WRITER = """
    import sys
    sys.path[:0] = {path!r}
    from test_store import make_entry, unit
    from twinset.store import open_store
    store = open_store({folder!r})
    for i in range({first}, {first} + 20):
        store.upsert([make_entry(f"w{{i % 30}}", unit(1, i))])
"""


def test_writers_in_several_processes_double_no_product(tmp_path):
    store = open_store(tmp_path / "s", MODEL, create=True)
    code = [
        textwrap.dedent(WRITER.format(path=sys.path, folder=str(tmp_path / "s"), first=first)) for first in (0, 10, 5)
    ]
    writers = [subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.PIPE) for text in code]
    assert [(writer.communicate()[1][-500:], writer.returncode) for writer in writers] == [(b"", 0)] * 3
    fresh = open_store(tmp_path / "s")
    found = fresh.search(unit(1)[None], 100, ["top"])[0]
    assert sorted(ids(found)) == sorted(f"w{i}" for i in range(30)) and fresh.count() == store.count() == 30
    assert fresh._table.count_rows() == 30


# --- variants ---------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["in memory", "mapped"])
def grouped(request, tmp_path, monkeypatch):
    monkeypatch.setattr(views, "MAPPED_ROWS", 3 if request.param == "mapped" else 10**9)
    store = open_store(tmp_path / "s", MODEL, create=True)
    fields = [("a", "g", 10.0), ("b", "g", 20.0), ("c", "g", 30.0), ("d", None, 10.0), ("e", "h", 10.0)]
    store.upsert([make_entry(name, unit(1, i), group_id=group, price=p) for i, (name, group, p) in enumerate(fields)])
    store.upsert([make_entry("f", unit(1, 1.5), group_id="g", shop="b", price=10.0)])
    return open_store(tmp_path / "s")


def test_variants_of_one_product_are_one_hit(grouped):
    hits = grouped.search(unit(1)[None], 10, ["top"])[0]
    assert [(hit.product_id, hit.variants) for hit in hits] == [("a", 3), ("f", 1), ("d", 1), ("e", 1)]
    assert ids(grouped.search(unit(1)[None], 2, [None])[0]) == ["a", "f"]


def test_a_variant_that_is_filtered_out_is_no_hit_and_not_counted(grouped):
    (hit, *_) = grouped.search(unit(1)[None], 10, ["top"], parse_where(["price>=20"]))[0]
    assert (hit.product_id, hit.variants) == ("b", 2)


def test_variants_written_at_different_times_are_one_hit(grouped):
    grouped.upsert([make_entry("z", unit(1), group_id="g"), make_entry("b", unit(0, 1), group_id=None)])
    hits = grouped.search(unit(1)[None], 3, ["top"])[0]
    assert [(hit.product_id, hit.variants) for hit in hits] == [("a", 3), ("f", 1), ("d", 1)]
    assert grouped.search(unit(0, 1)[None], 1, ["top"])[0][0].variants == 1


def test_the_plan_says_what_is_scanned(small, tmp_path):
    store = open_store(tmp_path / "s", MODEL, create=True)
    store.upsert(random_entries(120))
    assert (
        store.plan("top")
        == "category top: 60 of 60 items kept; 60 vectors scanned at one byte a number, the best again in fp32"
    )
    assert (
        store.plan(None, parse_where(["price=4"]))
        == "all categories: 2 of 240 items kept; 240 vectors scanned at one byte a number, the best again in fp32"
    )


def test_hits_are_kept_ready_and_not_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(part, "READY_HITS", 10)
    entries = random_entries(60)
    store = open_store(tmp_path / "s", MODEL, create=True)
    store.upsert(entries)
    (live,) = store._latest().parts
    first = live.part.hits([3, 1])
    assert [hit.score for hit in first] == [0, 0] and live.part.hits([1])[0] is first[1]
    live.part.hits(range(20))
    assert live.part.hits([1])[0] is not first[1] and len(live.part._ready) == 1
