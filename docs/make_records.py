"""Writes reference/records.md from the pydantic models of records and of realqa.json: `make docs`.

The text of each field is the docstring below it: the meaning, then optionally "Unit: ..." and "Present: ...".
"""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from realqa_cli.io import records as r
from realqa_cli.io import summary_records as s
from realqa_cli.io.explain_record import ExplainRecord
from realqa_cli.io.leaderboard_record import LeaderboardRecord
from realqa_cli.io.pair_record import PairRecord

JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
PAGE = Path(__file__).parent / "reference" / "records.md"
SHOWN: tuple[type[BaseModel], ...] = (
    r.ImageRecord,
    r.ScoreRecord,
    r.CotRecord,
    r.LevelRecord,
    ExplainRecord,
    r.ThoughtRecord,
    r.LabelRecord,
    s.RankRecord,
    PairRecord,
    s.CompositeRecord,
    r.ErrorField,
    s.CalibrationRecord,
    s.DoctorRecord,
    s.MetricRecord,
    LeaderboardRecord,
    s.NcmRecord,
    s.NcmLogRecord,
    s.SortProbeRecord,
    s.TrainLogRecord,
    s.RunManifest,
)
HEAD = """# Records

<!-- Written by `make docs` from the models in realqa_cli/io; do not edit. -->

Every command reads and writes JSON Lines: one JSON object per line, UTF-8. Fields that a command does not know pass
through from its input to its output, after its own fields. A field of the input with the name of a field that the
command writes is kept as `input.NAME`, and a warning says so once. The records of one run have the same fields: what
has no value is null, `error` included. Numbers are printed unrounded, and are never NaN or infinite.

An item that fails gives a record with `error` in its place, in order, and the run continues.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(section(model) for model in SHOWN)])


def section(model: type[BaseModel]) -> str:
    """One model: what it is, and a table of its own fields; those of its base are linked."""
    base = next((parent for parent in model.__mro__[1:] if parent in SHOWN), None)
    lines = [f"## {model.__name__}", "", str(inspect.getdoc(model)), ""]
    if base is not None:
        lines += [f"All fields of [{base.__name__}](#{base.__name__.lower()}), and:", ""]
    lines += ["| field | type | unit | present | meaning |", "|---|---|---|---|---|"]
    inherited = set() if base is None else {*base.model_fields}
    texts = docstrings(model)
    lines += [row(name, model, texts[name]) for name in model.model_fields if name not in inherited]
    return "\n".join([*lines, ""])


def row(name: str, model: type[BaseModel], text: str) -> str:
    """The row of one field."""
    text, _, present = text.partition(" Present: ")
    meaning, _, unit = text.partition(" Unit: ")
    cells = (f"`{name}`", type_of(model.model_fields[name].annotation), unit.rstrip("."), present.rstrip("."))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in (*cells, meaning)) + " |"


def type_of(annotation: Any) -> str:
    """The type in JSON's terms, such as `array of number or null`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_of(arguments[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(type_of(one) for one in arguments))
    if origin is Literal:
        return " or ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in arguments)
    if origin in (list, tuple):
        return f"array of {type_of(arguments[0])}"
    if origin is dict:
        return "object" if arguments[1] is Any else f"object of {type_of(arguments[1])}"
    return JSON_TYPES.get(annotation, "object")


def docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The docstring of each field of the class and its bases, on one line."""
    found: dict[str, str] = {}
    for kind in reversed([one for one in model.__mro__ if issubclass(one, BaseModel) and one is not BaseModel]):
        found |= {name: " ".join(text.split()) for name, text in own_docstrings(kind)}
    return found


def own_docstrings(kind: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """The fields that a class declares, each with the string literal that follows it."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(definition, ast.ClassDef)
    for field, following in zip(definition.body, definition.body[1:], strict=False):
        match field, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
