"""Docs say what is so: every command has help and a page, examples parse, links lead somewhere.

docs/commands.md is what --help says: `python tests/test_docs.py` writes it anew.
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from twinset.cli import cli
from twinset.data.feed import FIELDS
from twinset.store.filters import FIELDS as FILTER_FIELDS
from twinset.taxonomy import default_taxonomy

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "commands.md"
GUIDES = sorted({ROOT / "README.md", *(ROOT / "docs").glob("*.md")} - {PAGE})
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def commands(group: click.Group, path: tuple[str, ...] = ("twinset",)) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands(cli))


def help_of(name: str) -> str:
    words = [*name.split()[1:], "--help"]
    return CliRunner().invoke(cli, words, prog_name="twinset", terminal_width=100, max_content_width=100).stdout.strip()


def page() -> str:
    parts = ["# Commands\n\nWhat `--help` says. Written by `python tests/test_docs.py`.\n"]
    parts += [f"## {name}\n\n```text\n{help_of(name)}\n```\n" for name in COMMANDS]
    return "\n".join(parts)


def shell_lines() -> Iterator[tuple[str, str]]:
    """Yield (file, command) of every twinset command in the guides' shell blocks and in the commands' help."""
    for file in GUIDES:
        for kind, block in BLOCK.findall(file.read_text(encoding="utf-8")):
            if kind == "sh":
                joined = block.replace("\\\n", " ")
                for part in re.split(r"\n|&&|;", joined):
                    if part.strip().startswith("twinset "):
                        yield file.name, part.strip()
    for name in COMMANDS:
        found = re.search(r"Example: (.*)", COMMANDS[name].help or "", re.DOTALL)
        assert found, name
        yield "--help", " ".join(found[1].split())


# --- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name):
    assert f"Example: {name}" in (COMMANDS[name].help or "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help(name):
    options = [option for option in COMMANDS[name].params if isinstance(option, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_page_is_what_help_says(name):
    (block,) = re.findall(rf"^## {name}\n\n```text\n(.*?)\n```$", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    assert block.split() == help_of(name).split(), "run: python tests/test_docs.py"  # lines break as click likes


def test_the_commands_page_has_no_command_that_is_gone():
    assert re.findall(r"^## (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_a_guide(name):
    assert any(name in file.read_text(encoding="utf-8") for file in GUIDES), name


@pytest.mark.parametrize(("file", "line"), sorted(set(shell_lines())))
def test_examples_name_commands_and_options_that_exist(file, line):
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        assert name in command.commands, f"{file}: {line}"
        command = command.commands[name]
    context = click.Context(command, info_name="twinset")
    command.make_parser(context).parse_args(words)  # raises on an unknown option or a missing value


# --- what the guides list ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", GUIDES, ids=lambda file: file.name)
def test_links_lead_somewhere(file):
    targets = re.findall(r"(!?)\[[^\]]*\]\(([^)#:]+)(?:#[^)]*)?\)", file.read_text(encoding="utf-8"))
    missing = [target for picture, target in targets if not (file.parent / target).exists()]
    # Weights' cards and pictures made with them are checked where the weights are.
    if not (ROOT / "twinset" / "weights" / "default").is_dir():
        missing = [target for target in missing if "weights" not in target and "images/" not in target]
    assert missing == []


@pytest.mark.skipif(not (ROOT / "twinset" / "weights" / "default").is_dir(), reason="figures come with the weights")
def test_no_figure_is_left_out():
    assert [file.name for file in GUIDES if "@@" in file.read_text(encoding="utf-8")] == []


def test_every_guide_is_linked_from_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [file.name for file in (ROOT / "docs").glob("*.md") if f"docs/{file.name}" not in readme] == []


def test_the_index_guide_names_every_column():
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert [name for name in FIELDS if f"`{name}`" not in text] == []


def test_the_search_guide_names_every_filter_field_category_and_colour():
    text = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
    assert [name for name in FILTER_FIELDS if f"`{name}`" not in text] == []
    taxonomy = default_taxonomy()
    assert [name for name in (*taxonomy.names, *taxonomy.colours) if not re.search(rf"\b{name}\b", text)] == []


def test_json_in_the_guides_is_json():
    blocks = [
        block for file in GUIDES for kind, block in BLOCK.findall(file.read_text(encoding="utf-8")) if kind == "json"
    ]
    assert blocks and all(json.loads(block) for block in blocks)


def test_python_in_the_guides_compiles():
    blocks = [
        block for file in GUIDES for kind, block in BLOCK.findall(file.read_text(encoding="utf-8")) if kind == "python"
    ]
    assert blocks
    for block in blocks:
        compile(block, "guide", "exec")


def test_the_file_map_names_all_that_is_there():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme[readme.index("| file |") :]
    names = {file.name for file in (ROOT / "twinset").iterdir() if not file.name.startswith(("__", "."))}
    names -= {"py.typed"}
    assert [name for name in sorted(names) if not re.search(rf"[`/]{re.escape(name)}\b", table)] == []


def test_the_figures_of_judgements_are_counted_from_them():
    judged = json.loads((ROOT / "docs" / "data" / "street-judgements.json").read_text(encoding="utf-8"))
    items = [item for found in judged["photos"].values() for item in found]
    right = [[grade for _, grade in item["hits"]] for item in items if item["right"]]
    first = [grades[0] for grades in right]
    counted = (
        f"Of {len(items)} items {len(right)} are there",
        f"the first hit of {first.count('similar')} is what",
        f"of {sum('similar' in grades for grades in right)} some of the first five",
        f"{first.count('partly')} first hits are of the category",
    )
    text = " ".join((ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8").split())
    assert [sentence for sentence in counted if sentence not in text] == []
    colours = json.loads((ROOT / "docs" / "data" / "street-colours.json").read_text(encoding="utf-8"))["items"]
    assert len(colours) == 50 and f"it is right for {sum(item['right'] for item in colours)}." in text


def test_ci_runs_the_readmes_test_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^(pip install torch.*?) && pytest$", readme, re.MULTILINE)
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert command.replace("pip install", "pip install -q") in lines
    assert any(line.startswith("pytest") for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
