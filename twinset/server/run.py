"""Run the service until it is stopped."""

import logging
import socket
import threading
import time
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from twinset.errors import UsageError
from twinset.server.app import ServerSettings, create_app
from twinset.shop import open_shop


def serve(
    store: str,
    model: str = "default",
    host: str = "127.0.0.1",
    port: int = 8000,
    threads: int | None = None,
    settings: ServerSettings | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a store until interrupted. `on_ready` is given the URL once the models and the store are loaded.

    Raises what loading them raises, and UsageError for an address that can't be listened on.
    """
    listener = _listen(host, port)
    url = f"http://{_shown(host)}:{listener.getsockname()[1]}"
    app = create_app(lambda: open_shop(store, model, threads), settings)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=10, server_header=False)
    server = uvicorn.Server(config)
    logging.getLogger("twinset").setLevel(logging.INFO)
    watcher = threading.Thread(target=_watch, args=(app, server, url, on_ready or _announce), daemon=True)
    watcher.start()
    server.run(sockets=[listener])
    engine = getattr(app.state, "engine", None)
    if engine is not None and engine.problem is not None:
        raise engine.problem


def _announce(url: str) -> None:
    print(f"serving on {url}", flush=True)


def _watch(app: FastAPI, server: uvicorn.Server, url: str, on_ready: Callable[[str], None]) -> None:
    """Tell when the service is ready; stop the server if it can't be."""
    while not server.should_exit:
        engine = getattr(app.state, "engine", None)
        if engine is not None and engine.problem is not None:
            server.should_exit = True
        elif engine is not None and engine.shop is not None and server.started:
            return on_ready(url)
        time.sleep(0.02)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as exc:
        listener.close()
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise UsageError(
            f"expected an address to listen on, found {host}:{port}: {reason}; choose another --port", field="port"
        ) from exc
    listener.listen(128)
    return listener


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
