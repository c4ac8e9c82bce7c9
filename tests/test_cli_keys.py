"""`twinset keys` on the command line."""

import pytest
from conftest import is_one_error_line


@pytest.fixture
def own_store(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


def test_a_key_is_printed_once_listed_without_its_secret_and_removed(run, own_store):
    added = run("keys", "add", "--store", own_store, "--role", "write", "--note", "import", "--json").json
    assert added["key"].startswith(f"tw_{added['id']}_") and (added["role"], added["shop"]) == ("write", "default")
    (listed,) = run("keys", "list", "--store", own_store, "--json").json_lines
    assert listed == {name: value for name, value in added.items() if name != "key"}
    assert run("keys", "remove", added["id"], "--store", own_store).code == 0
    assert run("keys", "list", "--store", own_store).stdout == ""


def test_the_key_alone_is_on_stdout(run, own_store):
    ran = run("keys", "add", "--store", own_store)
    assert ran.stdout.startswith("tw_") and ran.stdout.count("\n") == 1 and "can't be shown again" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["add", "--store", "missing"], 1, id="no-store"),
        pytest.param(["remove", "00000000", "--store", "store"], 1, id="unknown"),
        pytest.param(["add", "--shop", "a b", "--store", "store"], 2, id="shop"),
        pytest.param(["add", "--origin", "shop.example", "--store", "store"], 2, id="origin"),
        pytest.param(["add", "--role", "owner", "--store", "store"], 2, id="role"),
    ],
)
def test_what_is_wrong_with_keys_is_one_line(run, own_store, arguments, code):
    ran = run("keys", *arguments)
    assert ran.code == code and is_one_error_line(ran.stderr) and ran.stdout == ""


def test_a_damaged_key_file_opens_nothing(run, own_store):
    (own_store / "service").mkdir()
    (own_store / "service" / "keys.json").write_text("{", encoding="utf-8")
    ran = run("keys", "list", "--store", own_store)
    assert ran.code == 1 and is_one_error_line(ran.stderr)
