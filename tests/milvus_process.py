"""A real Milvus server of the tests' own: the binary of the PyPI package `milvus`, in a folder, on free ports."""

import os
import platform
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

START_S = 180.0
ETCD = """\
listen-client-urls: http://127.0.0.1:{client}
advertise-client-urls: http://127.0.0.1:{client}
listen-peer-urls: http://127.0.0.1:{peer}
initial-advertise-peer-urls: http://127.0.0.1:{peer}
initial-cluster: default=http://127.0.0.1:{peer}
"""


class MilvusProcess:
    """A standalone server. Its data stay in the folder, so that it can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        from milvus import MilvusServerConfig, _initialize_data_files

        self.folder = folder
        names = [name for name in MilvusServerConfig().configurable_items if name.endswith("_port")]
        self.health_port, client, peer, *ports = _free_ports(3 + len(names))
        self.config = MilvusServerConfig(data_dir=str(folder), **dict(zip(names, ports, strict=True)))
        for name in (
            "checkInterval",
            "distPullInterval",
        ):  # ms: collections, of which tests make many, are ready sooner
            self.config.set(f"queryCoord.{name}", 100)
        self.config.resolve()
        (folder / "configs" / "etcd.yaml").write_text(ETCD.format(client=client, peer=peer))
        _initialize_data_files(str(folder))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.config.get('proxy_port')}"

    def start(self) -> None:
        """Start the server and wait until it is healthy."""
        binaries = self.folder / "bin"
        environment = os.environ | {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self.health_port),
            "ETCD_CONFIG_PATH": str(self.folder / "configs" / "etcd.yaml"),
            "MILVUS_RUN_DIR": str(self.folder / "run"),
            "LD_LIBRARY_PATH": f"{binaries}:{os.environ.get('LD_LIBRARY_PATH', '')}",
        }
        with (self.folder / "logs" / "milvus.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(binaries / "milvus"), "run", "standalone"],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
            )
        self._wait_until_healthy()

    def _wait_until_healthy(self) -> None:
        assert self.process is not None
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                log = (self.folder / "logs" / "milvus.log").read_text(errors="replace")
                raise RuntimeError(f"Milvus ended with {self.process.returncode}: {log[-500:]}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/healthz", timeout=5) as answer:
                    if b"OK" in answer.read():
                        return
            except OSError:
                pass
            time.sleep(0.2)
        raise RuntimeError(f"Milvus was not healthy within {START_S} s")

    def kill(self) -> None:
        """End the server as `kill -9` does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the server as an operator does."""
        self._end(signal.SIGTERM)

    def end(self) -> None:
        """Stop the server and remove its files."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def pause(self) -> None:
        """Let the server hang until `go_on`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)  # until all its threads stand still

    def go_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


def start_milvus(folder: Path) -> MilvusProcess:
    """Return a started server. Skips the test where there is none for this machine."""
    pytest.importorskip("pymilvus", reason="needs pip install 'twinset[milvus]'")
    pytest.importorskip("milvus", reason="needs the Milvus server: pip install milvus==2.3.5")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("the Milvus server of PyPI runs on Linux x86_64")
    server = MilvusProcess(folder)
    try:
        server.start()
    except BaseException:
        server.end()
        raise
    return server


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports
