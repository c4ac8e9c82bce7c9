"""`twinset config show`, and the options of `twinset serve`, which are settings too."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from twinset.cli.base import json_option, options, print_json, store_model_option, store_option, threads_option
from twinset.errors import UsageError

if TYPE_CHECKING:
    from twinset.server.config import ServeConfig, Setting

serve_options = options(
    store_option,
    store_model_option,
    threads_option,
    click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on."),
    click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port to listen on."),
    click.option(
        "--config", type=click.Path(path_type=Path), help="Settings as TOML. [default: twinset.toml, if it is there]"
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help="Any setting that twinset config show lists; repeat for more.",
    ),
)


@click.group()
def config() -> None:
    """The service's settings: from flags, the environment, a file, or the defaults, in this order."""


@config.command("show")
@serve_options
@json_option
def show(config: Path | None, settings: Sequence[str], as_json: bool, **flags: Any) -> None:
    """Print every setting that twinset serve would run with, and where it was said.

    Example: twinset config show --set queue=16
    """
    from twinset.server.config import HELP

    for setting in _settings(config, settings):
        if as_json:
            print_json({"name": setting.name, "value": setting.value, "source": setting.source})
            continue
        value = ",".join(setting.value) if isinstance(setting.value, tuple) else setting.value
        click.echo(f"{setting.name:<16} {value!s:<24} {setting.source:<20}  {HELP[setting.name]}")


def read_config(config: Path | None, settings: Sequence[str]) -> "ServeConfig":
    """Return the settings of a command with `serve_options`."""
    from twinset.server.config import config_of

    return config_of(_settings(config, settings))


def _settings(config: Path | None, settings: Sequence[str]) -> "list[Setting]":
    from twinset.server.config import HELP, resolve

    ctx, given = click.get_current_context(), click.core.ParameterSource.COMMANDLINE
    flags = {
        name: value for name, value in ctx.params.items() if name in HELP and ctx.get_parameter_source(name) is given
    }
    for entry in settings:
        name, separator, value = entry.partition("=")
        if not separator:
            raise UsageError(f"--set: expected NAME=VALUE, found {entry!r}", field="set")
        flags[name] = value
    return resolve(flags, os.environ, config)
