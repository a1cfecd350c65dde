"""CLI for `realqa presets`: how known models are asked, and where that is published."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.reporter import Reporter

if TYPE_CHECKING:
    from realqa_cli.models.presets import Preset

EXAMPLES = """[b]Examples[/b]

realqa presets

realqa presets --json

realqa presets q-align > mine.toml
"""

_NAME = "Print this preset as the TOML file that it is, to be changed and used by --preset-file."
Name = Annotated[str | None, typer.Argument(metavar="[NAME]", show_default=False, help=_NAME)]


def presets(
    context: typer.Context,
    name: Name = None,
    json: o.Json = False,
    table: o.TableOption = False,
    quiet: o.Quiet = False,
) -> int:
    """List the presets: models of other authors, how each is asked for a score, and where that is published."""
    from realqa_cli.cli.output import JsonLines
    from realqa_cli.models.presets import FOLDER, read_preset

    Reporter.of(context)
    if name is not None:
        text = (FOLDER / f"{read_preset(name).name}.toml").read_text(encoding="utf-8")
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
        return 0
    rows = preset_rows()
    if json or not (table or sys.stdout.isatty()):
        lines = JsonLines()
        for row in rows:
            lines.write(row)
        return 0
    from realqa_cli.cli.views.presets import print_presets

    print_presets(rows)
    return 0


def preset_rows() -> list[dict[str, Any]]:
    """A record for each preset."""
    from realqa_cli.models.presets import all_presets

    return [_row(preset) for preset in all_presets()]


def _row(preset: "Preset") -> dict[str, Any]:
    """What a user chooses by; the texts are in the file."""
    line = preset.model_dump(include={"name", "aliases", "summary", "method", "scale", "verified", "source"})
    questions = [*preset.questions] or ["score"]
    more = {"note": preset.note or None, "models": [*preset.models], "run": preset.run}
    return {**line, "aliases": [*preset.aliases], "scale": [*preset.scale], "questions": questions, **more}
