"""The command line: the only package that prints.

Results go to standard output, everything said to people while working goes to standard error. With `--json` standard
output holds one JSON document and nothing else. Exit status: 0 done, 1 problems in the spec, 2 wrong usage, 3 failure
while running, 130 interrupted.

A new command is a function in one of the modules of COMMANDS, or in a new one, and its name there.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

import typer

import gendsl
from gendsl.cli.output import (
    BAD_SPEC,
    BAD_USAGE,
    DONE,
    FAILED,
    INTERRUPTED,
    diagnostics_json,
    fail,
    put_json,
    show,
)
from gendsl.errors import GendslError, SpecError, UsageError

COMMANDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "specs": ("check", "explain", "graph", "resolve"),
        "language": ("schema", "components", "new"),
        "running": ("run", "resume"),
        "asking": ("sample", "encode", "evaluate", "verify", "report"),
        "completing": ("impute", "compress", "decompress"),
        "carrying": ("export",),
        "comparing": ("diff",),
        "machine": ("doctor",),
    }
)
"""Module -> its commands, in the order of the help. A module is imported where one of its commands is asked for."""


def commands(asked: str | None = None) -> typer.Typer:
    """The commands of the module that has `asked`; all of them if none has."""
    modules = [module for module, names in COMMANDS.items() if asked in names] or list(COMMANDS)
    app = typer.Typer(
        name="gendsl",
        help="Deep generative models from a short YAML spec: checked, trained, sampled, scored.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options)
    for module in modules:
        app.registered_commands += importlib.import_module(f"{__name__}.{module}").app.registered_commands
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    try:
        status = commands(words[0] if words else None)(words, prog_name="gendsl", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else DONE
    except SpecError as error:
        _refused(error, as_json)
        return BAD_SPEC
    except UsageError as error:
        return fail(str(error), BAD_USAGE, as_json)
    except GendslError as error:
        return fail(str(error), FAILED, as_json)
    except MemoryError:
        return fail(OUT_OF_MEMORY, FAILED, as_json)
    except (KeyboardInterrupt, typer.Abort):
        return fail("interrupted", INTERRUPTED, as_json)
    except WRONG_USAGE as error:
        error.show()
        if as_json:
            put_json({"status": "failed", "error": error.format_message()})
        return BAD_USAGE
    except (BrokenPipeError, SystemExit):
        # whoever read the output has gone; inside a command, typer turns the error into an exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        what = ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
        return fail(what, FAILED, as_json)
    except RuntimeError as error:
        if "out of memory" not in str(error) and "can't allocate memory" not in str(error):
            raise
        return fail(f"{OUT_OF_MEMORY} ({str(error).splitlines()[0]})", FAILED, as_json)


WRONG_USAGE: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
"""What typer raises for options and arguments: click's class, or that of typer's own copy of click."""

OUT_OF_MEMORY = "out of memory: make the model, train.batch_size or the samples of the bound smaller"


def _refused(error: SpecError, as_json: bool) -> None:
    """Every diagnostic of a refused spec."""
    if as_json:
        put_json(diagnostics_json(error.diagnostics, valid=False))
    else:
        show(error.diagnostics, error.sources)


def _version(value: bool) -> None:
    if value:
        print(f"gendsl {gendsl.__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    pass


def entry() -> None:
    """The console script.

    Commands without torch keep almost every object they make: looking for unreachable ones takes a quarter of their
    time, and none is looked for.
    """
    quick = sys.argv[1:2] and sys.argv[1] in (*COMMANDS["specs"], *COMMANDS["language"])
    if quick:
        gc.disable()
    status = main()
    if quick:
        gc.freeze()
    raise SystemExit(status)
