"""The program `synthaug`: collects the verbs and turns errors into exit codes, in this one place."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Annotated

import typer

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from synthaug.core.console import stderr
from synthaug.core.errors import SynthaugError
from synthaug.core.version import __version__

VERBS = (
    "run",
    "demo",
    "train",
    "estimate",
    "generate",
    "verify",
    "inspect",
    "export",
    "evaluate",
    "curate",
    "classify",
    "explain",
    "bench",
    "report",
    "models",
)


def _print_version(value: bool) -> bool:
    if value:
        typer.echo(f"synthaug {__version__}")
        raise typer.Exit
    return value


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    pass


def build_app(verbs: Sequence[str] = VERBS) -> typer.Typer:
    """The program with some of its verbs; a verb's libraries are loaded when it is added."""
    app = typer.Typer(
        name="synthaug",
        help="Does synthetic data help my classifier, by how much, and where is the set I can use?",
        epilog="Exit codes: 0 done, 1 failed, 2 bad input or usage, 3 damage found, 130 interrupted, 143 terminated.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for verb in verbs:
        importlib.import_module(f"synthaug.cli.{verb}").add(app)
    return app


_ENDINGS = {130: "interrupted", 143: "terminated"}


def _terminate(_: int, __: FrameType | None) -> None:
    raise SystemExit(143)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: 0, 1 failed, 2 bad input, 3 damage found, 130 SIGINT, 143 SIGTERM."""
    arguments = sys.argv[1:] if arguments is None else arguments
    shows_tracebacks = "--debug" in arguments
    # Accepted before and after the verb: whoever needs it has usually just repeated a failed command.
    arguments = (["--debug"] if shows_tracebacks else []) + [word for word in arguments if word != "--debug"]
    signal.signal(signal.SIGTERM, _terminate)
    verb = next((word for word in arguments if not word.startswith("-")), None)
    try:
        build_app([verb] if verb in VERBS else VERBS)(arguments, prog_name="synthaug")
    except SystemExit as ended:  # Typer always exits: it explains bad usage and turns an interrupt into 130.
        if isinstance(ended.code, int) and ended.code in _ENDINGS and not shows_tracebacks:
            advice = "finished parts are kept: run the same command again (train: --resume auto; classify begins anew)"
            _complain(f"{_ENDINGS[ended.code]}; {advice}")
        raise
    except KeyboardInterrupt:  # while libraries were loading
        _complain(_ENDINGS[130])
        raise SystemExit(130) from None
    except SynthaugError as error:
        if shows_tracebacks:
            raise
        _complain(str(error))
        raise SystemExit(error.exit_code) from None
    except Exception as error:
        if shows_tracebacks:
            raise
        _complain(f"unexpected {type(error).__name__}: {error} (run again with --debug for the traceback)")
        raise SystemExit(1) from None


def _complain(message: str) -> None:
    stderr.quiet = False
    stderr.print(f"synthaug: {message}", markup=False, style="bold red" if stderr.is_terminal else None)
