"""Run the service until it is stopped, in one process or several."""

import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from twinset.errors import DataError, UsageError
from twinset.server.app import ServerSettings, create_app
from twinset.server.metrics import SHARED
from twinset.server.middleware import set_up_logs
from twinset.server.protocol import LimitedProtocol
from twinset.shop import open_shop

STOP_S = 10  # requests that are being answered may take this long once the service is told to stop
KEEP_ALIVE_S = 75  # longer than proxies keep theirs, so that none sends into a connection being closed
WORKER = "TWINSET_WORKER"  # tells a process among several what to serve


def serve(
    store: str,
    model: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    threads: int | None = None,
    settings: ServerSettings | None = None,
    on_ready: Callable[[str], None] | None = None,
    processes: int = 1,
    log_format: str = "text",
) -> None:
    """Serve a store until interrupted. `on_ready` is given the URL once the models and the store are loaded.

    Raises what loading them raises, and UsageError for an address that can't be listened on.
    """
    listener = listen(host, port)
    url = f"http://{_shown(host)}:{listener.getsockname()[1]}"
    set_up_logs(log_format)
    told = on_ready or _announce
    if processes > 1:
        facts = {"store": store, "model": model, "threads": threads, "log_format": log_format}
        _serve_together(facts, settings or ServerSettings(), processes, listener, url, told)
        return
    app = create_app(lambda: open_shop(store, model, threads), settings)
    server = uvicorn.Server(_config(app))
    watcher = threading.Thread(target=_watch, args=(app, server, url, told), daemon=True)
    watcher.start()
    server.run(sockets=[listener])
    engine = getattr(app.state, "engine", None)
    if engine is not None and engine.problem is not None:
        raise engine.problem


def _config(app: FastAPI | str, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=LimitedProtocol,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=STOP_S,
        timeout_keep_alive=KEEP_ALIVE_S,
        server_header=False,
        ws="none",
        **more,
    )


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


# --- several processes ------------------------------------------------------------------------------------------------


def _serve_together(
    facts: dict[str, Any],
    settings: ServerSettings,
    processes: int,
    listener: socket.socket,
    url: str,
    on_ready: Callable[[str], None],
) -> None:
    """Serve from several processes on one socket; one that dies is started again.

    If none can load what it serves, they all end. Raises DataError with what one said.
    """
    open_shop(facts["store"], facts["model"], facts["threads"])  # what can't be opened is told once, here
    with tempfile.TemporaryDirectory(prefix="twinset-figures-") as figures:
        os.environ[SHARED] = figures
        os.environ[WORKER] = json.dumps(facts | {"settings": asdict(settings)}, default=str)
        config = _config("twinset.server.run:app_of_worker", factory=True, workers=processes)
        threading.Thread(target=_tell_when_ready, args=(Path(figures), processes, url, on_ready), daemon=True).start()
        Multiprocess(config, [listener]).run()
        said = [text for file in Path(figures).glob("*.problem") if (text := file.read_text(encoding="utf-8"))]
        if said:
            raise DataError(said[0])


def app_of_worker() -> FastAPI:
    """Return the service of one process among several, by what its parent put into the environment."""
    facts = json.loads(os.environ[WORKER])
    given = facts["settings"]
    given |= {"samples": tuple(map(Path, given["samples"])), "cors_origins": tuple(given["cors_origins"])}
    set_up_logs(facts["log_format"])
    app = create_app(lambda: open_shop(facts["store"], facts["model"], facts["threads"]), ServerSettings(**given))
    threading.Thread(target=_mark_when_ready, args=(app, Path(os.environ[SHARED])), daemon=True).start()
    return app


def _mark_when_ready(app: FastAPI, folder: Path) -> None:
    """Leave a file in a folder once this process is ready; end it if it can't be.

    Where one was ready before, a store may be away for a while: it is started again. Else a file says why it ends.
    """
    while (engine := getattr(app.state, "engine", None)) is None or engine.shop is None:
        if engine is not None and engine.problem is not None:
            if any(folder.glob("*.ready")):
                os._exit(1)
            said = " ".join(str(engine.problem).split()) or type(engine.problem).__name__
            (folder / f"{os.getpid()}.problem").write_text(said, encoding="utf-8")
            os._exit(STARTUP_FAILURE)  # with which its parent starts none again and ends
        time.sleep(0.02)
    (folder / f"{os.getpid()}.ready").touch()


def _tell_when_ready(folder: Path, processes: int, url: str, on_ready: Callable[[str], None]) -> None:
    while len(list(folder.glob("*.ready"))) < processes:
        time.sleep(0.02)
    on_ready(url)


# --- the address ------------------------------------------------------------------------------------------------------


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens for the service. Raises UsageError for an address it can not have."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit it: an answer's body must not wait 40 ms for the caller to confirm the headers (Nagle).
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
