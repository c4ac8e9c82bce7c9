"""Indexing with a real Ray cluster of two nodes on this machine: the same store as without it, whoever dies."""

import os
from pathlib import Path

import pytest
from cluster_models import LoadNoting
from conftest import is_one_error_line
from fakes import FakeModels, make_feed

from twinset import spread
from twinset.errors import FeedError, ModelMismatch
from twinset.indexing import index_feed
from twinset.spread import Block, describe_block, index_spread
from twinset.store import open_store

MODELS = FakeModels()


def test_a_cluster_that_is_not_there_is_one_line(run, tmp_path):
    """First of all, while this process is connected to none."""
    pytest.importorskip("ray", reason="ray is not installed: pip install 'twinset[ray]'")
    ran = run("index", make_feed(tmp_path / "shop", 2), "--store", tmp_path / "store", "--ray", "auto")
    assert ran.code == 1 and is_one_error_line(ran.stderr.splitlines()[-1] + "\n") and "--ray auto" in ran.stderr


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one CPU each, and this process connected to them. Skips where a machine can't start them in time."""
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'twinset[ray]'")
    utils = pytest.importorskip("ray.cluster_utils")
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    nodes = utils.Cluster()
    try:
        nodes.add_node(num_cpus=1, include_dashboard=False)
        nodes.add_node(num_cpus=1)
        ray.init(nodes.address, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": path}})
    except Exception as exc:  # ray raises no narrower one for a node that is late
        nodes.shutdown()
        pytest.skip(f"no cluster starts here: {exc}")
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(spread, "BLOCK", 3)


def stored(store):
    """Return what is stored, but vectors as tuples, by product."""
    return {
        entry.key: (entry.product, [(item.category, item.embedding.tolist(), item.colours) for item in entry.items])
        for entry in open_store(store).entries()
    }


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_cluster_fills_the_same_store_though_a_worker_is_killed(cluster, small_blocks, tmp_path):
    feed = make_feed(tmp_path / "shop", 24)
    with feed.open("a", encoding="utf-8") as file:
        file.write("gone,Gone,Tshirts,1,EUR,images/none.png,true,summer\n")
    alone = index_feed(feed, tmp_path / "alone", MODELS)

    load = LoadNoting(tmp_path, deadly=True)
    report = index_spread(feed, tmp_path / "spread", MODELS, load, cluster.address)

    assert (tmp_path / "died").exists()
    assert len(list(tmp_path.glob("node-*"))) == 2
    assert stored(tmp_path / "spread") == stored(tmp_path / "alone")
    assert (report.products, report.indexed, report.failed) == (25, 24, alone.failed)
    again = index_spread(feed, tmp_path / "spread", MODELS, load, cluster.address)
    assert (again.indexed, again.unchanged) == (0, 24)


def described(feed, tmp_path, strict=False, known=None):
    from twinset.data.feed import read_feed

    rows = read_feed(feed, MODELS.taxonomy, None, False)
    block = Block(list(zip(rows.products, rows.lines, strict=True)), known or {}, False, strict)
    return describe_block(block, FakeModels, MODELS.version)


def test_a_worker_describes_what_is_new_and_says_what_failed(tmp_path):
    feed = make_feed(tmp_path, 4)
    (tmp_path / "images" / "p001.png").write_bytes(b"none")
    first = described(feed, tmp_path)
    assert [entry.key.product_id for entry in first.entries] == ["p000", "p002", "p003"]
    assert [(row.line, row.product_id) for row in first.failed] == [(3, "p001")]

    known = {entry.key: entry for entry in first.entries}
    second = described(feed, tmp_path, known=known)
    assert (len(second.entries), second.unchanged, len(second.failed)) == (0, 3, 1)
    strict = described(feed, tmp_path, strict=True)
    assert [entry.key.product_id for entry in strict.entries] == ["p000"] and len(strict.failed) == 1


def test_a_worker_with_another_model_is_refused(tmp_path):
    with pytest.raises(ModelMismatch, match="same Twinset"):
        describe_block(Block([], {}, False, False), FakeModels, "other-1")


def test_blocks_are_written_in_the_feeds_order_and_strict_stops_at_the_first_problem(
    small_blocks, monkeypatch, tmp_path
):
    """With workers in this process: what becomes of their answers."""

    def at_once(blocks, load, version, address):
        return ((block, describe_block(block, load, version)) for block in blocks)

    monkeypatch.setattr(spread, "_described", at_once)
    feed = make_feed(tmp_path / "shop", 10)
    (tmp_path / "shop" / "images" / "p007.png").write_bytes(b"none")
    with pytest.raises(FeedError, match=r"products.csv:9: product p007"):
        index_spread(feed, tmp_path / "store", MODELS, FakeModels, "auto", strict=True)
    assert sorted(key.product_id for key in stored(tmp_path / "store")) == [f"p00{i}" for i in range(7)]
    assert index_spread(feed, tmp_path / "store", MODELS, FakeModels, "auto").indexed == 2
