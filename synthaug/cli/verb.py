"""Makes a command out of a workflow: its flags are the fields of the workflow's settings."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from synthaug.core.console import stderr
from synthaug.core.processes import is_main_process
from synthaug.workflows.config import Settings, is_repeated

C = TypeVar("C", bound=Settings)
R = TypeVar("R")


def add_verb(
    app: typer.Typer,
    name: str,
    config: type[C],
    run: Callable[[C], R],
    show: Callable[[R], str],
    plan: Callable[[C], Any] | None,
    epilog: str,
) -> None:
    """Adds the command `name`, whose help is the docstring of `run`.

    Args:
        app: Where to add it.
        name: The verb.
        config: Its settings; every field becomes a flag.
        run: The workflow.
        show: The result as text for people.
        plan: What --dry-run prints instead of running; None for verbs without it.
        epilog: An example for the help.
    """

    def command(**values: Any) -> None:
        file, as_json, is_dry = values.pop("config"), values.pop("json"), values.pop("dry_run", False)
        stderr.quiet = values.pop("quiet")
        given = {key: value for key, value in values.items() if value not in (None, [])}
        settings = config.resolve(given, file)
        result: Any = plan(settings) if plan is not None and is_dry else run(settings)
        if not is_main_process():
            return
        if as_json:
            typer.echo(json.dumps(to_json(result), ensure_ascii=False))
        else:
            typer.echo(_as_lines(to_json(result)) if is_dry else show(result))

    fields = sorted(
        config.model_fields.items(),
        key=lambda item: (_PANELS.index(_panel(config, item[0])), not item[1].is_required()),
    )
    common = [parameter for parameter in _COMMON if plan is not None or parameter.name != "dry_run"]
    parameters = [*(_parameter(key, field, _panel(config, key)) for key, field in fields), *common]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    summary = (inspect.getdoc(run) or "").split("\n\n")[0]
    app.command(name, help=summary, epilog=f"Example: {epilog}")(command)


def to_json(value: Any) -> Any:
    """Plain JSON values from dataclasses, pydantic models and paths."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def _as_lines(value: Any, indent: str = "") -> str:
    if not isinstance(value, dict):
        return f"{indent}{value}"
    lines = []
    for key, entry in value.items():
        nested = isinstance(entry, dict)
        lines.append(f"{indent}{key}:" + ("" if nested else f" {entry}"))
        if nested:
            lines.append(_as_lines(entry, indent + "  "))
    return "\n".join(lines)


def _parameter(name: str, field: FieldInfo, panel: str) -> inspect.Parameter:
    default = field.get_default()
    required = field.is_required()
    flag = f"--{name.replace('_', '-')}"
    kind = _plain_type(field.annotation)
    help_text = field.description or ""
    if required:
        help_text += " (required)"
    elif default not in (None, ()):
        help_text += f" (default: {default})"
    extra = field.json_schema_extra
    if isinstance(extra, dict) and (metavar := extra.get("argument")):
        argument = typer.Argument(metavar=str(metavar), help=help_text, show_default=False)
        return inspect.Parameter(  # not required here: it may stand in the file of --config
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, argument]
        )
    names = [f"{flag}/--no-{flag[2:]}"] if kind is bool else [flag]
    metavar = "<str>" if kind == list[str] else None
    option = typer.Option(*names, help=help_text, metavar=metavar, show_default=False, rich_help_panel=panel)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _plain_type(annotation: Any) -> Any:
    """The type the terminal parses; durations and pairs arrive as text and are validated by the settings."""
    if get_origin(annotation) in (Union, UnionType):
        [annotation] = [part for part in get_args(annotation) if part is not NoneType]
    if is_repeated(annotation):
        return list[str]
    if get_origin(annotation) is Annotated:
        return str
    if get_origin(annotation) is Literal or annotation in (int, str, bool, Path):
        return annotation
    return float if annotation is float else str


def _common(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _panel(config: type[Settings], name: str) -> str:
    """Which box of the help a flag stands in: that of the class of settings which has it."""
    owner = next(one for one in config.__mro__ if name in inspect.get_annotations(one))
    return str(owner.__dict__.get("panel", _PANELS[0]))


#: In the order of the help: the verb's own first, those that all verbs share last.
_PANELS = ["Options", "Training", "Mixing", "Data", "Real images", "Common"]
_PANEL = "Common"
_COMMON = [
    _common(
        "config",
        Annotated[
            Path | None, typer.Option("--config", help="YAML file of settings; flags win.", rich_help_panel=_PANEL)
        ],
        None,
    ),
    _common(
        "json",
        Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=_PANEL)],
        False,
    ),
    _common(
        "dry_run",
        Annotated[bool, typer.Option("--dry-run", help="Say what would be done.", rich_help_panel=_PANEL)],
        False,
    ),
    _common(
        "quiet", Annotated[bool, typer.Option("--quiet", help="No progress, no log.", rich_help_panel=_PANEL)], False
    ),
]
