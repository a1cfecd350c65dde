"""Settings given as keyword arguments, as Python code types them, with errors that name what is meant."""

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, TypeVar

from realqa_cli.backends.server.settings import ServerSettings
from realqa_cli.domain.scales import Scale
from realqa_cli.errors import UsageError

Settings = TypeVar("Settings")


def settings_from(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """The dataclass `kind` with these values; an address is enough for `server`, and "1-5" for `scale`.

    Raises UsageError for an unknown name, with the nearest known one, and for a value of a wrong type.
    """
    from pydantic import TypeAdapter, ValidationError

    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            near = get_close_matches(name.replace("-", "_"), known, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"use one of: {', '.join(known)}"
            raise UsageError(f"unknown setting {name!r}", where=kind.__name__, remedy=remedy)
    given = dict(values)
    try:
        if isinstance(given.get("server"), str):
            given["server"] = ServerSettings(given["server"])
        if given.get("scale") is not None:
            scale = given["scale"]
            given["scale"] = Scale.parse(scale) if isinstance(scale, str) else Scale.of(scale)
        return TypeAdapter(kind).validate_python(given)
    except ValidationError as error:
        flaw = error.errors(include_url=False, include_context=False)[0]
        what = f"{flaw['msg'][:1].lower()}{flaw['msg'][1:]}, not {str(flaw['input'])[:80]!r}"
        raise UsageError(what, where=str(flaw["loc"][0])) from error
    except (TypeError, ValueError) as error:
        raise UsageError(str(error), where="scale", remedy='give (1, 5) or "1-5"') from error
