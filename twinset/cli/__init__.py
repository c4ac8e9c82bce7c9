"""The command line: one module a group of commands."""

from twinset.cli.app import cli, main

__all__ = ["cli", "main"]
