"""Nothing acknowledged is lost when a process or the Milvus server is killed; queries come back by themselves."""

import threading

import pytest
from milvus_process import start_milvus
from test_store import MODEL, ids, make_entry, random_entries, unit

from twinset.bench import faults
from twinset.bench.faults import Expected
from twinset.bench.faults_worker import Step, step_of
from twinset.errors import DataError, StoreError
from twinset.store import open_store
from twinset.store.check import check_store


def test_kills_lose_and_double_nothing(tmp_path, new_uri, store_kind, monkeypatch, capsys):
    monkeypatch.setattr(faults, "LONGEST_S", 0.3)
    faults.run(4, new_uri(tmp_path) if store_kind == "milvus" else None, seed=1)
    assert '"kills": 4' in capsys.readouterr().out


def test_what_was_lost_is_told():
    expected = Expected({"a": 1.0, "b": 1.0, "c": 1.0})
    pending = Step(("b",), ("c",), 2.0)
    assert (
        expected.compare({"a": 1.0, "b": 2.0}, pending) == expected.compare({"a": 1.0, "b": 1.0, "c": 1.0}, None) == []
    )
    assert [line[:1] for line in expected.compare({"b": 2.0, "d": 9.0}, None)] == ["a", "b", "c", "d"]
    assert expected.compare({"a": 1.0, "b": 3.0, "c": 1.0}, pending) == ["b: expected price 1.0, found 3.0"]
    expected.apply(Step(("a", "x"), ("b",), 5.0))
    assert expected.prices == {"a": 5.0, "c": 1.0, "x": 5.0}


def test_steps_are_the_same_for_the_same_number():
    assert step_of(7) == step_of(7) != step_of(8) and not set(step_of(8).written) & set(step_of(8).removed)


def test_a_store_with_faults_is_an_error(tmp_path, monkeypatch):
    def lossy(place, kind, first, after_s, target, searches):
        return 2  # steps are claimed that nobody did

    monkeypatch.setattr(faults, "_killed", lossy)
    with pytest.raises(DataError, match="without faults"):
        faults.run(1)
    open_store(tmp_path / "s", faults.MODEL, create=True).upsert([make_entry("a", unit(1))])
    with pytest.raises(DataError, match="expected a new one"):
        faults.run(1, str(tmp_path / "s"))


def has_collection(client, timeout_s):
    return client.has_collection("faults", timeout=timeout_s)


@pytest.mark.milvus
def test_a_milvus_server_may_be_killed_and_hang(tmp_path_factory):
    server = start_milvus(tmp_path_factory.mktemp("milvus-faults"))
    try:
        store = open_store(f"{server.uri}/faults", MODEL, create=True)
        entries = random_entries(60)
        store.upsert(entries[:40])
        query = entries[0].items[0].embedding[None]
        first = store.search(query, 5, ["top"])[0]

        server.kill()
        with pytest.raises(StoreError, match="answers within"):
            store._server.read(has_collection, 1.0)
        importing = threading.Thread(target=store.upsert, args=(entries[40:],))  # waits for the server
        importing.start()
        server.start()
        importing.join(120)
        assert not importing.is_alive() and store.count() == 60
        assert check_store(store).problems == []
        assert ids(store.search(query, 5, ["top"])[0])[0] == ids(first)[0]

        server.pause()
        with pytest.raises(StoreError, match="answers within"):
            store._server.read(has_collection, 1.0)
        server.go_on()
        assert ids(store.search(query, 5, ["top"])[0])[0] == ids(first)[0]
    finally:
        server.end()
