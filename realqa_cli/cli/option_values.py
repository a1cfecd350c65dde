"""From the values of a command's options to the settings of a step, a server or a data set.

An option that was not given is None, and the defaults of the settings apply. This module declares no option:
that is `options`.
"""

import math
from collections.abc import Collection
from dataclasses import fields, replace
from typing import TYPE_CHECKING, TypeVar

import typer

from realqa_cli.datasets import COLUMNS, DatasetSelection
from realqa_cli.domain.scales import Scale
from realqa_cli.errors import UsageError
from realqa_cli.io.shards import Shard

if TYPE_CHECKING:
    from realqa_cli.backends.server.settings import ServerSettings

Settings = TypeVar("Settings")

_SERVER_OPTIONS = ("api_key_env", "concurrency", "retries", "timeout")
_LOCAL_OPTIONS = ("adapter", "revision", "trust_remote_code", "backend", "device", "dtype", "quantize")


def settings_of(context: typer.Context, kind: type[Settings], *, without: Collection[str] = ()) -> Settings:
    """The dataclass `kind` from the options with the names of its fields; missing ones keep their defaults.

    `without` names fields that no option sets directly.
    """
    names = {field.name for field in fields(kind)} - {*without}  # type: ignore[arg-type]
    given = {name: context.params.get(name) for name in names}
    return kind(**{name: value for name, value in given.items() if value not in (None, (), [])})


def settings_with_server(context: typer.Context, kind: type[Settings]) -> Settings:
    """`settings_of` for a step that runs a local model or asks a server.

    Raises `UsageError` for options that concern the other of the two.
    """
    settings, url = settings_of(context, kind, without=("server",)), context.params["server"]
    if url is None:
        for name in _SERVER_OPTIONS:
            if context.params[name] is not None:
                raise UsageError("concerns a server", where=_flag(name), remedy="add --server URL")
        return settings
    local = dict.fromkeys(_LOCAL_OPTIONS, "leave out this option or --server")
    local |= {"batch_size": "use --concurrency", "jpeg_draft": "leave it out"}
    for name, remedy in local.items():
        if context.params.get(name):
            raise UsageError("concerns a model in this process", where=_flag(name), remedy=remedy)
    # $REALQA_MODEL names a local model, never one of the server.
    source = context.get_parameter_source("model")
    model = context.params["model"] if source is not None and source.name == "COMMANDLINE" else None
    return replace(settings, server=server_of(context, url, model))  # type: ignore[type-var]


def server_of(context: typer.Context, url: str, model: str | None) -> "ServerSettings":
    """The settings of the server at `url`, from the options that concern servers."""
    from realqa_cli.backends.server.settings import ServerSettings

    given = {name: context.params[name] for name in _SERVER_OPTIONS if context.params.get(name) is not None}
    return ServerSettings(url, model, **given)


def dataset_selection(context: typer.Context, *, of: str | None = "", remedy: str = "") -> DatasetSelection | None:
    """The data set that `--dataset`, `--split`, `--subset` and `--columns` select; None where they are not given.

    `--columns` alone means `--dataset csv`. `of` is the path that the options apply to; where it is None, the
    error has `remedy`. Raises `UsageError` for an unknown data set, and for `--split` or `--subset` alone.
    """
    dataset, split, columns, subset = (context.params[name] for name in ("dataset", "split", "columns", "subset"))
    if dataset is None and columns is None:
        for name, value in (("--split", split), ("--subset", subset)):
            if value is not None:
                raise UsageError("applies to data sets", where=name, remedy="add --dataset NAME")
        return None
    if of is None:
        where = "--columns" if dataset is None else "--dataset"
        raise UsageError("there is no folder or table that it applies to", where=where, remedy=remedy)
    selection = DatasetSelection(dataset or "csv", split, columns or {}, subset)
    selection.check()
    return selection


def parse_scale(text: str) -> Scale:
    """Read a scale such as `1-5` or `0-10`, low before high."""
    try:
        return Scale.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def parse_shard(text: str) -> Shard:
    """Read a shard such as `3/8`."""
    try:
        return Shard.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def parse_levels(text: str) -> dict[str, float | None]:
    """Read `excellent=5,good=4` or `excellent,good`: words with or without values, best first."""
    pairs = [pair.partition("=") for pair in text.split(",")]
    words = [word.strip() for word, _, _ in pairs]
    try:
        values = [float(value) if given else None for _, given, value in pairs]
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} has a value that is not a number") from error
    if len({*words}) < max(2, len(words)) or not all(words):
        raise typer.BadParameter(f"{text!r} needs at least two different words")
    if len({value is None for value in values}) > 1:
        raise typer.BadParameter(f"{text!r} has values for some words only")
    if None not in values and (len({*values}) < 2 or not all(map(math.isfinite, filter(None, values)))):
        raise typer.BadParameter(f"{text!r} needs different finite values")
    return dict(zip(words, values, strict=True))


def parse_words(text: str) -> tuple[str, ...]:
    """Read `first,second`: words or names, each without blanks around it; `""` has none."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def parse_columns(text: str) -> dict[str, str]:
    """Read `image=name,mos=MOS`: the columns of a table by their role."""
    pairs = [pair.partition("=") for pair in text.split(",")]
    columns = {key.strip(): name.strip() for key, _, name in pairs}
    if len(columns) < len(pairs) or not all(columns.values()) or not columns.keys() <= {*COLUMNS}:
        known = ", ".join(COLUMNS)
        raise typer.BadParameter(f"{text!r} is not like image=name,mos=MOS, with some of: {known}")
    return columns


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
