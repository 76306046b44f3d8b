"""The table of commands, and that a command imports the module it is in and no other."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
import typer

from gendsl import cli
from gendsl.cli import COMMANDS, commands


def names(app: typer.Typer) -> list[str]:
    return list(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("module", COMMANDS)
def test_the_table_has_the_commands_of_every_module(module: str) -> None:
    registered = importlib.import_module(f"gendsl.cli.{module}").app.registered_commands
    assert len(registered) == len(COMMANDS[module])
    assert [names(commands(each)) for each in COMMANDS[module]] == [list(COMMANDS[module])] * len(registered)


def test_every_module_with_commands_is_in_the_table() -> None:
    found = {m.name for m in pkgutil.iter_modules(cli.__path__)}
    assert {m for m in found if hasattr(importlib.import_module(f"gendsl.cli.{m}"), "app")} == set(COMMANDS)


@pytest.mark.parametrize("asked", [None, "--help", "chekc"])
def test_the_help_has_all_in_order(asked: str | None) -> None:
    assert names(commands(asked)) == [name for module in COMMANDS.values() for name in module]
