"""CLI for `realqa explain`: what moved the score of one photo."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.option_values import settings_of
from realqa_cli.cli.output_files import PAGE, PLOT, OutputFile
from realqa_cli.cli.reporter import Reporter
from realqa_cli.errors import UsageError

EXAMPLES = """[b]Examples[/b]

realqa explain photo.jpg

realqa explain photo.jpg --map photo-map.png --report photo.html

realqa explain photo.jpg --json | jq .measures
"""

EXPLAIN = "Explanation"

_IMAGE = "One photo."
Photo = Annotated[str, typer.Argument(metavar="IMAGE", show_default=False, help=_IMAGE)]
_MAP = "Draw the occlusion map over the photo: which parts raise and lower the score."
MapFile = Annotated[Path | None, OutputFile("--map", PLOT), o.option(o.OUTPUT, "--map", metavar="FILE.png", help=_MAP)]
_REPORT = "Write an HTML page with the map, the measures and the flips."
PageFile = Annotated[
    Path | None, OutputFile("--report", PAGE), o.option(o.OUTPUT, "--report", metavar="FILE.html", help=_REPORT)
]
_GROUPS = "About as many parts the photo is divided into for the map."
Groups = Annotated[int | None, o.option(EXPLAIN, "--groups", metavar="N", min=4, help=_GROUPS, default="80")]


def explain(
    context: typer.Context,
    image: Photo,
    model: o.Model = None,
    adapter: o.Adapter = None,
    revision: o.Revision = None,
    trust_remote_code: o.TrustRemoteCode = False,
    device: o.Device = None,
    dtype: o.Dtype = None,
    preset: o.PresetOption = None,
    scale: o.ScaleOption = None,
    digits: o.DigitsOption = None,
    min_pixels: o.MinPixels = None,
    max_pixels: o.MaxPixels = None,
    groups: Groups = None,
    map_: MapFile = None,
    report: PageFile = None,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    table: o.TableOption = False,
    quiet: o.Quiet = False,
) -> int:
    """Explain the score of one photo: measures, attributes whose answers move it, and the parts that move it."""
    from realqa_cli.cli.output import JsonLines
    from realqa_cli.io.sources import Sources
    from realqa_cli.steps.explain.explain import Explainer, ExplainSettings

    reporter = Reporter.of(context)
    items = list(Sources([image]).items())
    if len(items) != 1 or Path(image).is_dir():
        raise UsageError("is not one photo", where=image, remedy="name one photo; `realqa score` takes folders")
    with reporter.bar("explaining", None):
        explainer = Explainer(settings_of(context, ExplainSettings, without=("method", "decode", "form", "reasons")))
        found = explainer.explain(items[0])
    failed = found.record["error"] is not None
    if not failed:
        from realqa_cli.cli.views import explanation as view

        if map_ is not None:
            view.draw_map(found, map_)
        if report is not None:
            view.write_page(found, report)
    if table or (sys.stdout.isatty() and not json):
        from realqa_cli.cli.views.explanation import print_explanation

        print_explanation(found.record)
    else:
        JsonLines().write(found.record)
    reporter.manifest(explainer.manifest.as_json())
    return 1 if failed else 0
