"""`twinset demo`: a drawn shop, indexed and served, with no data and no network."""

import json
import logging
import os
import shutil
import sys
import threading
import webbrowser
from pathlib import Path

from twinset.data.drawn import draw_shop
from twinset.errors import DataError
from twinset.indexing import index_feed
from twinset.models import load_models
from twinset.server.app import ServerSettings
from twinset.server.run import serve

log = logging.getLogger(__name__)
PRODUCTS, LOOKS, SEED = 165, 12, 7
EXAMPLE_SHOP = ("http://127.0.0.1:8080", "http://localhost:8080")  # where examples/README.md serves examples/shop
DRAWING = 1  # raised when the drawings change, so that an old folder is drawn anew


def run_demo(
    port: int = 8000,
    open_browser: bool = True,
    folder: Path | None = None,
    model: str = "default",
    threads: int | None = None,
) -> None:
    """Draw a sample shop, index it and serve its page until interrupted; a folder drawn before is used again.

    Prints the page's URL on stdout once it answers.
    """
    store, looks = prepare_demo(folder or default_folder(), model, threads)
    settings = ServerSettings(samples=tuple(looks), cors_origins=EXAMPLE_SHOP)

    def ready(url: str) -> None:
        print(url, flush=True)
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    serve(str(store), model=model, port=port, threads=threads, settings=settings, on_ready=ready)


def prepare_demo(folder: Path, model: str = "default", threads: int | None = None) -> tuple[Path, list[Path]]:
    """Return the store and the street looks of the sample shop in a folder, drawn and indexed if need be."""
    models = load_models(model, threads)
    shop = folder / f"shop-{DRAWING}"
    done = shop / "drawn.json"
    if not done.exists():
        print("drawing a sample shop ...", file=sys.stderr)
        shutil.rmtree(shop, ignore_errors=True)
        try:
            draw_shop(shop, PRODUCTS, LOOKS, SEED)
            done.write_text(json.dumps({"products": PRODUCTS, "looks": LOOKS}), encoding="utf-8")
        except OSError as exc:
            raise DataError(f"{folder}: expected a folder to draw in, found: {exc.strerror}; choose --folder") from exc
    store = shop / f"store-{models.version}"
    print("indexing it ...", file=sys.stderr)
    index_feed(shop / "products.csv", str(store), models)
    return store, sorted((shop / "looks").glob("*.jpg"))


def default_folder() -> Path:
    """Return where the sample shop is kept: the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "twinset-demo"
