"""`twinset new shop|widget|notebook`: a folder to start from."""

from pathlib import Path

import click

TEMPLATES = Path(__file__).parents[1] / "templates"


@click.command("new")
@click.argument("template", type=click.Choice(["shop", "widget", "notebook"]))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def new(template: str, folder: Path) -> None:
    """Write a template into a new folder: a shop in Python, a page with the widget, or a notebook.

    Example: twinset new shop my-shop
    """
    import shutil

    from twinset.errors import DataError

    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder}: expected a new or empty folder, found files in it; choose another")
    shutil.copytree(TEMPLATES / template, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    click.echo(f"wrote {template} to {folder}; {folder / 'README.md'} says how to run it")
