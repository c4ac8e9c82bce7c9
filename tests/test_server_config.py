"""The service's settings: which of several places wins, and what is refused; and several processes on one port."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import is_one_error_line

from twinset.errors import DataError, UsageError
from twinset.server import run as server_run
from twinset.server.config import HELP, ServeConfig, config_of, resolve
from twinset.server.run import listen
from twinset.server.settings import ServerSettings


def shown(flags=None, environment=None, file=None) -> dict[str, tuple[object, str]]:
    return {setting.name: (setting.value, setting.source) for setting in resolve(flags or {}, environment or {}, file)}


def test_every_setting_is_shown_with_its_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = {field.name for kind in (ServeConfig, ServerSettings) for field in fields(kind)}
    assert set(HELP) == expected - {"settings", "samples", "allow_private"}
    assert config_of(resolve({}, {}, None)) == ServeConfig()


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(tmp_path):
    file = tmp_path / "shop.toml"
    file.write_text('[serve]\nqueue = 1\nport = 2\nhost = "::1"\n', encoding="utf-8")
    found = shown({"queue": 7}, {"TWINSET_QUEUE": "5", "TWINSET_PORT": "6"}, file)
    assert found["queue"] == (7, "flag")
    assert found["port"] == (6, "TWINSET_PORT")
    assert found["host"] == ("::1", str(file))
    assert found["model"] == ("", "default")


def test_a_file_in_the_current_folder_or_named_by_the_environment_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "twinset.toml").write_text("[serve]\nqueue = 3\n", encoding="utf-8")
    (tmp_path / "other.toml").write_text("[serve]\nqueue = 4\n", encoding="utf-8")
    assert shown()["queue"] == (3, "twinset.toml")
    assert shown(environment={"TWINSET_CONFIG": "other.toml"})["queue"] == (4, "other.toml")


def test_lists_and_truths_are_read_from_texts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = shown({"cors_origins": "https://a.example, https://b.example", "record_searches": "off", "rate": "2.5"})
    assert found["cors_origins"][0] == ("https://a.example", "https://b.example")
    assert (found["record_searches"][0], found["rate"][0]) == (False, 2.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "many"),
        ("port", 70000),
        ("queue", 1.5),
        ("workers", True),
        ("rate", "nan"),
        ("cors_origins", "https://a.example/path"),
        ("record_searches", "perhaps"),
        ("log_format", "xml"),
        ("runtime", "tflite"),
        ("host", 5),
        ("colour", "red"),
    ],
)
def test_what_a_setting_can_not_be_is_refused_by_name(name, value):
    with pytest.raises(UsageError, match=name):
        resolve({name: value}, {}, None)


@pytest.mark.parametrize("text", ["[serve", "serve = 3", None])
def test_a_file_that_can_not_be_read_is_refused(tmp_path, text):
    file = tmp_path / "bad.toml"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"bad\.toml"):
        resolve({}, {}, file)


def test_config_show_on_the_command_line(run):
    lines = run("config", "show", "--set", "queue=16", "--port", 99, "--json").json_lines
    assert {"name": "queue", "value": 16, "source": "flag"} in lines
    assert {"name": "port", "value": 99, "source": "flag"} in lines
    assert run("config", "show").stdout.startswith("store ")
    bad = run("config", "show", "--set", "queue")
    assert bad.code == 2 and is_one_error_line(bad.stderr)


def test_an_empty_variable_names_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shown(environment={"TWINSET_CONFIG": "", "TWINSET_QUEUE": ""})["queue"] == (64, "default")
    with pytest.raises(DataError, match=r"none\.toml"):
        shown(environment={"TWINSET_CONFIG": "none.toml"})


def serving(store: str, folder: Path, *settings: str, **more) -> subprocess.Popen:
    """Start `twinset serve` in two processes; the fake model goes into each by sitecustomize, which Python imports."""
    (folder / "sitecustomize.py").write_text(
        "import twinset.models\nfrom fakes import FakeModels\n"
        "twinset.models.load_models = lambda *args, **given: FakeModels()\n",
        encoding="utf-8",
    )
    environment = os.environ | {"PYTHONPATH": f"{folder}:{Path(__file__).parent}:{Path(__file__).parent.parent}"}
    command = [sys.executable, "-c", "from twinset.cli import main; main()", "serve", "--store", store, "--port", "0"]
    command += [part for setting in ("processes=2", *settings) for part in ("--set", setting)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, **more)


def test_several_processes_end_where_one_can_not_load_what_it_serves(store, tmp_path):
    (tmp_path / "keys.json").write_text("damaged", encoding="utf-8")
    with serving(store, tmp_path, f"state={tmp_path}", stderr=subprocess.PIPE) as ran:
        try:
            printed, told = ran.communicate(timeout=120)
        finally:
            ran.kill()
    assert (ran.returncode, printed) == (1, "")
    (line,) = [line for line in told.splitlines() if line.startswith("Error: ")]
    assert "keys.json: expected API keys" in line and "Traceback" not in told


def test_several_processes_serve_one_port_and_count_together(store, tmp_path):
    with serving(store, tmp_path) as ran:
        try:
            url = ran.stdout.readline().rpartition(" ")[2].strip()
            for _ in range(6):
                urllib.request.urlopen(f"{url}/v1/models", timeout=10).read()
            figures = urllib.request.urlopen(f"{url}/metrics", timeout=10).read().decode()
        finally:
            ran.send_signal(signal.SIGTERM)
        assert ran.wait(30) in (0, -signal.SIGTERM)
    (line,) = [
        line for line in figures.splitlines() if line.startswith("twinset_requests_total") and "/v1/models" in line
    ]
    assert line.endswith(" 6.0")


def test_an_answers_body_does_not_wait_for_the_headers_to_be_confirmed():
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("ready_before", [False, True])
def test_a_process_that_cannot_load_ends_the_others_only_where_none_was_ready(tmp_path, monkeypatch, ready_before):
    if ready_before:
        (tmp_path / "1.ready").touch()
    codes = []

    def leave(code):
        codes.append(code)
        raise SystemExit

    monkeypatch.setattr(server_run.os, "_exit", leave)
    engine = SimpleNamespace(shop=None, problem=DataError("no store"))
    with pytest.raises(SystemExit):
        server_run._mark_when_ready(SimpleNamespace(state=SimpleNamespace(engine=engine)), tmp_path)

    said = [file.read_text() for file in tmp_path.glob("*.problem")]
    assert (codes, said) == (([1], []) if ready_before else ([server_run.STARTUP_FAILURE], ["no store"]))
