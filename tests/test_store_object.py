"""A store on object storage, with file:// standing in for it: what must be files of this machine is kept apart."""

import numpy as np
import pytest
from test_rollout import NEW, NEW_DIM, Describing
from test_store import MODEL, by_hand, ids, make_entry, random_entries, unit

from twinset.errors import StoreError
from twinset.rollout import back, drop, reindex, statuses, switch
from twinset.store import Key, open_shelf, open_store, views
from twinset.store.beside import folder_beside
from twinset.store.check import check_store
from twinset.store.copy import copy_to


@pytest.fixture
def uri(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "bucket").mkdir()
    return f"file://{tmp_path}/bucket/shop"


def test_it_is_found_what_a_plain_loop_finds_in_mapped_files_of_this_machine(uri, tmp_path, monkeypatch):
    monkeypatch.setattr(views, "MAPPED_ROWS", 20)
    entries = random_entries(60)
    open_store(uri, MODEL, create=True).upsert(entries)
    store = open_store(uri)
    query = unit(*np.linspace(-1, 2, 256))
    expected = by_hand(entries, query, 7, "top")
    assert ids(store.search(query[None], 7, ["top"])[0]) == [product_id for product_id, _ in expected]
    assert store.uri == uri and store.count() == 60 and check_store(store).problems == []
    assert list((folder_beside(uri) / "search").glob("*/vectors.f32"))
    assert sorted(path.name for path in (tmp_path / "bucket" / "shop").iterdir()) == ["products.lance"]


def test_writers_and_notes_of_two_clients_meet(uri):
    one, other = open_store(uri, MODEL, create=True), open_store(uri)
    one.upsert([make_entry("a", unit(1))])
    other.upsert([make_entry("a", unit(1, 1)), make_entry("b", unit(1))])  # it looks for what is there first
    assert other.count() == 2 and other.delete([Key("default", "b"), Key("default", "c")]) == 1
    assert open_store(uri).count() == 1
    one.write_note("rules-a", "1")
    one.write_note("rules-a", "2")
    assert one.read_note("rules-a") == other.read_note("rules-a") == "2" and other.read_note("none") is None
    assert other.note_names() == ["rules-a"]


def test_a_model_is_rolled_out_and_the_store_copied(uri, tmp_path):
    open_store(uri, MODEL, create=True).upsert(random_entries(12))
    shelf = open_shelf(uri)
    reindex(shelf, NEW, "new", Describing(), dim=NEW_DIM)
    switch(shelf, lambda _: Describing())
    assert open_store(uri).model_version == NEW and open_store(uri).count() == 12
    back(shelf, lambda _: Describing(MODEL))
    assert drop(shelf).number == 2 and [one.generation.number for one in statuses(shelf)] == [1]
    copy_to(open_store(uri), tmp_path / "copy")
    assert open_store(tmp_path / "copy").count() == 12
    copy_to(open_store(tmp_path / "copy"), f"{uri}-2")
    assert open_store(f"{uri}-2").count() == 12


def test_what_is_not_there_is_told(uri):
    with pytest.raises(StoreError, match="expected a table written by twinset index"):
        open_store(uri)
    with pytest.raises(StoreError, match="found ftp://"):
        open_store("ftp://host/shop")
