"""A service of the model that needs no weights, in a process of its own: `python serve_fake.py STORE`."""

import sys

from fakes import FakeModels

from twinset.server import run
from twinset.shop import Shop
from twinset.store import open_store


def open_fake(store: str, model: str, threads: int | None) -> Shop:
    models = FakeModels()
    return Shop(models, open_store(store, models.version))


if __name__ == "__main__":
    run.open_shop = open_fake
    run.serve(sys.argv[1], port=0)
