"""Where the tables of commands are printed."""

from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console

WIDTH_OF_PIPES = 200  # characters: files and programs have no width of their own, and nothing is to be cut


def terminal(command: BaseCommand) -> Console:
    """Return a console on a command's output, coloured where the command is (--no-color, --force-color)."""
    output: Any = command.stdout
    is_coloured = command.style.ERROR("") != ""
    return Console(
        file=output,
        width=None if output.isatty() else WIDTH_OF_PIPES,
        force_terminal=is_coloured or None,
        no_color=not is_coloured,
        highlight=False,
    )
