"""CLI for `realqa doctor`: checks of the installation and of a model."""

import sys
from typing import Annotated

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.option_values import settings_of
from realqa_cli.cli.reporter import Reporter

EXAMPLES = """[b]Examples[/b]

realqa doctor

realqa doctor --model qwen2-vl-2b --adapter my-adapter --device cuda

realqa doctor --json | jq 'select(.status == "failed")'
"""

_METHOD = "direct, levels or regression; what the model was trained for if it is not given."
DoctorMethod = Annotated[str | None, o.option(o.SCORING, "--method", metavar="NAME", help=_METHOD)]


def doctor(
    context: typer.Context,
    model: o.Model = None,
    adapter: o.Adapter = None,
    revision: o.Revision = None,
    trust_remote_code: o.TrustRemoteCode = False,
    backend: o.BackendOption = None,
    device: o.Device = None,
    dtype: o.Dtype = None,
    quantize: o.Quantize = None,
    method: DoctorMethod = None,
    preset: o.PresetOption = None,
    scale: o.ScaleOption = None,
    digits: o.DigitsOption = None,
    min_pixels: o.MinPixels = None,
    max_pixels: o.MaxPixels = None,
    json: o.Json = False,
    table: o.TableOption = False,
    quiet: o.Quiet = False,
) -> int:
    """Check the installation and a model: whether something would change scores without notice."""
    from realqa_cli.cli.output import JsonLines
    from realqa_cli.cli.views.findings import FindingLines
    from realqa_cli.inference.readout import ReadoutSettings
    from realqa_cli.steps.doctor.doctor import examine

    reporter = Reporter.of(context)
    settings = settings_of(context, ReadoutSettings)
    settings.check()
    counts = dict.fromkeys(("ok", "warning", "failed", "skipped"), 0)
    with reporter.bar("checking", None) as bar:
        lines = FindingLines(bar.stop) if table or (sys.stdout.isatty() and not json) else JsonLines(bar.stop)
        for finding in examine(settings):
            counts[finding.status] += 1
            lines.write(finding.as_record())
    parts = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    reporter.say(f"{sum(counts.values())} checks: {parts}")
    return 1 if counts["failed"] else 0
