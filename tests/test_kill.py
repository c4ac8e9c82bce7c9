"""The service is killed under load, for real, and nothing it acknowledged is missing."""

import sys
from pathlib import Path

from fakes import FakeModels, draw_street, make_feed
from test_images import encoded

from twinset.bench.kill import HEADER, kill_again_and_again
from twinset.indexing import index_feed


def test_what_was_acknowledged_before_a_kill_is_there_after_it(tmp_path):
    index_feed(make_feed(tmp_path, 10), tmp_path / "store", FakeModels())
    command = [sys.executable, str(Path(__file__).with_name("serve_fake.py")), str(tmp_path / "store")]
    photo = encoded(draw_street(), "JPEG")
    rows = kill_again_and_again(command, str(tmp_path / "store"), [photo], kills=2, seconds=2.0)
    last = dict(zip(HEADER, rows[-1], strict=True))
    assert len(rows) == 2 and last["written"] and last["searches"]
    assert [(row[HEADER.index("missing")], row[HEADER.index("back")]) for row in rows] == [(0, 0), (0, 0)]
