"""A store as a whole: copied, checked, backed up, restored; both kinds answer alike; what happens on a full disk."""

import json
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from test_store import MODEL, ids, make_entry, random_entries, unit

from twinset.errors import StoreError
from twinset.events import Event, EventLog
from twinset.server.keys import KeyFile
from twinset.store import Key, open_store, parse_where, views
from twinset.store.check import check_store
from twinset.store.copy import backup, copy_store, copy_to, restore


@pytest.fixture
def store(uri):
    return open_store(uri, MODEL, create=True)


@pytest.fixture
def directory(tmp_path):
    return open_store(tmp_path / "directory", MODEL, create=True)


def contents(store):
    return {entry.key: (entry.product, entry.row_hash, entry.image_hashes) for entry in store.entries()}


# --- copying ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [True, False], ids=["to-it", "from-it"])
def test_a_copy_is_the_same_whatever_kind_it_is_of(store, directory, there):
    source, target = (directory, store) if there else (store, directory)
    entries = random_entries(40)
    source.upsert(entries)
    source.write_note("rules-a", "{}")
    seen = []
    report = copy_store(source, target, told=seen.append)
    assert (report.products, report.written, report.removed, sum(seen)) == (40, 40, 0, 40)
    assert contents(target) == contents(source) and target.read_note("rules-a") == "{}"
    for entry, other in zip(sorted(source.entries(), key=by_key), sorted(target.entries(), key=by_key), strict=True):
        assert all(np.array_equal(a.embedding, b.embedding) for a, b in zip(entry.items, other.items, strict=True))
    assert check_store(target).problems == [] and target.note_names() == ["rules-a"]


def by_key(entry):
    return entry.key


def test_a_second_copy_brings_what_changed(store, directory):
    directory.upsert(random_entries(10))
    copy_store(directory, store)
    directory.upsert([make_entry("p3", unit(5), shop="b"), make_entry("new", unit(1))])
    directory.upsert([make_entry("p3", unit(5), unit(6), shop="b")])
    report = copy_store(directory, store)
    assert (report.products, report.written) == (11, 2) and contents(store) == contents(directory)
    assert copy_store(directory, store).written == 0


def test_a_copy_over_something_else_is_refused_unless_it_may_go(store, directory):
    directory.upsert(random_entries(3))
    store.upsert([make_entry("own", unit(1)), *random_entries(1)])
    with pytest.raises(StoreError, match=r"'own'.*--remove"):
        copy_store(directory, store)
    assert store.count() == 2
    assert copy_store(directory, store, remove=True).removed == 1 and contents(store) == contents(directory)


def test_a_backup_grows_with_the_store_and_brings_it_back(store, tmp_path, new_uri):
    store.upsert(random_entries(8))
    store.write_note("rules-x", "1")
    assert backup(store, tmp_path / "safe").written == 8
    store.delete([Key("default", "p0")])
    store.upsert([make_entry("late", unit(1))])
    assert (lambda done: (done.written, done.removed))(backup(store, tmp_path / "safe")) == (1, 1)
    restore(tmp_path / "safe", new_uri(tmp_path / "again"))
    again = open_store(new_uri(tmp_path / "again"))
    assert contents(again) == contents(store) and again.note_names() == ["rules-x"]


def test_a_backup_that_broke_off_is_not_restored(directory, tmp_path, monkeypatch):
    directory.upsert(random_entries(8))
    monkeypatch.setattr("twinset.store.copy.copy_store", lambda *args, **more: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        backup(directory, tmp_path / "safe")
    monkeypatch.undo()
    with pytest.raises(StoreError, match="broke off"):
        restore(tmp_path / "safe", tmp_path / "again")
    assert not (tmp_path / "again").exists()
    backup(directory, tmp_path / "safe")
    assert restore(tmp_path / "safe", tmp_path / "again").products == 8


def test_a_backup_spares_what_is_no_backup_of_the_store(directory, tmp_path):
    other = open_store(tmp_path / "other", MODEL, create=True)
    with pytest.raises(StoreError, match="choose another directory"):
        backup(directory, tmp_path / "other")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "mine.txt").write_text("mine")
    with pytest.raises(StoreError):
        backup(directory, tmp_path / "files")
    assert (tmp_path / "files" / "mine.txt").read_text() == "mine" and other.note_names() == []


def test_a_backup_of_another_store_of_the_same_name_is_spared(tmp_path, monkeypatch):
    for name in ("a", "b"):
        open_store(tmp_path / name / "shop", MODEL, create=True).upsert([make_entry(name, unit(1))])
    monkeypatch.chdir(tmp_path / "a")
    assert backup(open_store("shop"), tmp_path / "safe").written == 1
    assert backup(open_store(tmp_path / "a" / "shop"), tmp_path / "safe").written == 0
    monkeypatch.chdir(tmp_path / "b")
    with pytest.raises(StoreError, match="choose another directory"):
        backup(open_store("shop"), tmp_path / "safe")
    assert open_store(tmp_path / "safe").get("a").product.product_id == "a"


def test_two_that_make_a_store_at_once_make_one(tmp_path):
    ready = threading.Barrier(4)

    def write(number: int) -> None:
        ready.wait()
        open_store(tmp_path / "new", MODEL, create=True).upsert([make_entry(f"p{number}", unit(1, number))])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert open_store(tmp_path / "new").count() == 4


def test_a_copy_of_another_models_vectors_is_refused(directory, tmp_path):
    open_store(tmp_path / "other", "other-1", create=True)
    with pytest.raises(StoreError, match="other-1"):
        copy_to(directory, tmp_path / "other")


# --- checking ---------------------------------------------------------------------------------------------------------


def test_a_whole_store_has_no_problems(store):
    assert check_store(store) == check_store(store) and check_store(store).problems == []
    store.upsert(random_entries(30))
    store.upsert(random_entries(10, seed=1))
    store.delete([Key("default", "p2")])
    found = check_store(store)
    assert (found.products, found.problems) == (29, []) and found.items == sum(len(e.items) for e in store.entries())


def test_vectors_of_another_model_are_found(store):
    store.upsert([make_entry("a", unit(1))])
    entry = make_entry("b", unit(1))
    object.__setattr__(entry.items[0], "model_version", "other-1")
    store.upsert([entry])
    (problem,) = check_store(store).problems
    assert "'b'" in problem and "other-1" in problem


@pytest.fixture
def mapped(tmp_path, monkeypatch):
    """A store that is searched in mapped files."""
    monkeypatch.setattr(views, "MAPPED_ROWS", 20)
    open_store(tmp_path / "mapped", MODEL, create=True).upsert(random_entries(60))
    open_store(tmp_path / "mapped")
    return tmp_path / "mapped"


@pytest.mark.parametrize("file", ["vectors.f32", "codes.i8", "rows.arrow", "ids.u64"])
def test_search_files_that_differ_from_the_table_are_found(mapped, file):
    assert check_store(open_store(mapped)).problems == []
    (path,) = (mapped / "search").glob(f"*/{file}")
    data = bytearray(path.read_bytes())
    place = data.find(b"row-p") if file == "rows.arrow" else len(data) // 2
    data[place : place + 8] = (
        bytes(8) if file == "vectors.f32" else bytes(byte ^ 0x15 for byte in data[place : place + 8])
    )
    path.write_bytes(data)
    problems = check_store(open_store(mapped)).problems
    assert problems and any("delete" in problem or "row-" in problem or "product" in problem for problem in problems)


def test_a_damaged_table_is_told_in_a_line(directory, tmp_path):
    directory.upsert(random_entries(20))
    fresh = open_store(tmp_path / "directory")
    for file in (tmp_path / "directory" / "products.lance" / "data").iterdir():
        data = bytearray(file.read_bytes())
        data[: len(data) // 2] = bytes(len(data) // 2)
        file.write_bytes(data)
    problems = check_store(fresh).problems
    assert problems and all("\n" not in problem for problem in problems)


# --- full disks -------------------------------------------------------------------------------------------------------

FULL = """
    import resource, sys
    sys.path[:0] = {path!r}
    from test_store import random_entries
    from twinset.errors import StoreError
    from twinset.store import open_store, views
    store = open_store({folder!r})
    store.count()
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))  # writing more to a file fails, as on a full disk
    try:
        store.upsert(random_entries(400, seed=1))
    except StoreError as exc:
        print(exc)
    views.MAPPED_ROWS = 20
    print(len(open_store({folder!r}).search(random_entries(1)[0].items[0].embedding[None], 500, [None])[0]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="files are not limited there")
def test_a_disk_that_is_full_costs_nothing_that_was_stored(directory, tmp_path):
    directory.upsert(random_entries(60))
    code = textwrap.dedent(FULL.format(path=sys.path, folder=str(tmp_path / "directory")))
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    message, found = ran.stdout.splitlines() or [ran.stderr, ""]
    assert "disk's space" in message and found == "60" and ran.returncode == 0, ran.stderr
    assert open_store(tmp_path / "directory").count() == 60 and check_store(directory).problems == []


# --- alike ------------------------------------------------------------------------------------------------------------


def test_both_kinds_of_store_find_the_same_first_ten(store, directory):
    """Ties within 1e-4 may swap."""
    entries = random_entries(400, seed=2, grouped=True)
    store.upsert(entries)
    directory.upsert(entries)
    rng = np.random.default_rng(4)
    for i in range(60):
        near = entries[int(rng.integers(len(entries)))]
        query = near.items[0].embedding + 0.2 * rng.standard_normal(256).astype(np.float32) / 16
        query = (query / np.linalg.norm(query))[None]
        ask = query, 10, [near.product.category if i % 3 else None], parse_where(["price<300"] if i % 2 else [])
        one, other = store.search(*ask)[0], directory.search(*ask)[0]
        assert [hit.score for hit in one] == pytest.approx([hit.score for hit in other], abs=1e-4)
        sure = {hit.product_id for hit in one if hit.score > one[-1].score + 1e-4}
        assert sure <= set(ids(other)) and len(one) == len(other) == 10


# --- commands ---------------------------------------------------------------------------------------------------------


def test_stores_are_copied_checked_and_kept_safe_by_command(run, tmp_path):
    open_store(tmp_path / "a", MODEL, create=True).upsert(random_entries(6))
    assert run("store", "copy", "a", "b", "--json").json == {"products": 6, "written": 6, "removed": 0}
    assert run("store", "copy", "a", "b").stdout == "a to b: 6 products, 0 written, 0 removed\n"
    assert run("store", "backup", "safe", "--store", "b", "--json").json["written"] == 6
    assert run("store", "restore", "safe", "--store", "c", "--json").json["written"] == 6
    found = run("store", "check", "--store", "c", "--json").json
    assert (found["products"], found["items"], found["problems"], found["model"]) == (6, 12, [], MODEL)
    assert run("store", "check", "--store", "c").stdout == "store c: 6 products, 12 items: whole\n"
    entry = make_entry("b", unit(1))
    object.__setattr__(entry.items[0], "model_version", "other-1")
    open_store(tmp_path / "c").upsert([entry])
    ran = run("store", "check", "--store", "c")
    assert ran.code == 1 and "1 problems" in ran.stdout and "other-1" in ran.stderr
    assert run("store", "restore", "a", "--store", "d").code == 1 and run("store", "copy", "nothing", "d").code == 1
    assert json.loads(run("store", "check", "--store", "c", "--json").stdout)["problems"]


def test_a_backup_holds_the_services_folder(run, tmp_path):
    open_store(tmp_path / "a", MODEL, create=True).upsert(random_entries(6))
    state = tmp_path / "a" / "service"
    keys = KeyFile(state / "keys.json")
    _, key = keys.add("default", "admin")
    events = EventLog(state / "events.sqlite")  # open, as in a service that runs
    events.add([Event("click", "p1", "default")])
    (state / "jobs").mkdir()
    for name in ("jobs/20260101000000-0123456789ab.json", "audit.jsonl", "write.lock", "jobs/lock"):
        (state / name).write_text(name)
    done = run("store", "backup", "safe", "--store", "a", "--json").json
    assert done == {"products": 6, "written": 6, "removed": 0, "service_files": 4}
    assert run("store", "backup", "safe", "--store", "a", "--json").json["service_files"] == 1  # the events alone
    events.close()

    assert "4 files of the service" in run("store", "restore", "safe", "--store", "b").stdout
    assert KeyFile(tmp_path / "b" / "service" / "keys.json").find(key) is not None
    again = EventLog(tmp_path / "b" / "service" / "events.sqlite")
    assert [row["product_id"] for row in again.read("SELECT * FROM events")] == ["p1"]
    again.close()
    assert not list((tmp_path / "b" / "service").rglob("*lock"))
    assert run("store", "restore", "safe", "--store", "c", "--state", "elsewhere").code == 0
    assert (tmp_path / "elsewhere" / "keys.json").exists() and not (tmp_path / "c" / "service").exists()
    assert open_store(tmp_path / "c").count() == 6
    run("store", "backup", "bare", "--store", "c", "--state", "nothing")
    assert not (tmp_path / "bare" / "service").exists()
