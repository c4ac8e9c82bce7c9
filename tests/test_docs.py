"""Every command has help with an example; docs/commands.md is that help. `python tests/test_docs.py` writes it anew."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from twinset.cli import cli

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"


def commands(group: click.Group, path: tuple[str, ...] = ("twinset",)) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def page() -> str:
    parts = ["# Commands\n\nWhat `--help` says. Written by `python tests/test_docs.py`.\n"]
    for name, command in commands(cli):
        context = click.Context(command, info_name=name, terminal_width=100, max_content_width=100)
        parts.append(f"## {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


@pytest.mark.parametrize(("name", "command"), list(commands(cli)), ids=lambda value: value if isinstance(value, str) else "")
def test_command_has_help_with_an_example(name: str, command: click.Command) -> None:
    assert command.help
    assert f"Example: {name}" in command.help


def test_commands_page_is_what_help_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/test_docs.py"


def test_links_of_the_docs_lead_somewhere() -> None:
    import re

    root = PAGE.parent.parent
    for file in (root / "README.md", *sorted(PAGE.parent.glob("*.md"))):
        for target in re.findall(r"\]\(([^)#:]+)\)", file.read_text(encoding="utf-8")):
            assert (file.parent / target).exists(), f"{file.name} links to {target}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
