"""CLI for `realqa merge`: the outputs of several runs, such as shards, as one."""

from pathlib import Path
from typing import Annotated

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.option_values import settings_of
from realqa_cli.cli.output import JsonLines, OutputOptions
from realqa_cli.cli.output_files import OutputFile, records_kind
from realqa_cli.cli.reporter import Reporter
from realqa_cli.io.run_files import write_runs

EXAMPLES = """[b]Examples[/b]

realqa merge part-*.jsonl -o all.parquet

realqa merge a.jsonl b.jsonl.gz -o all.jsonl.gz --partial

realqa merge old.csv new.parquet -o all.jsonl --mixed

realqa merge part-*.jsonl | realqa eval - --metric srcc
"""

MERGE = "Merge"

_PARTS = "Outputs of `score`, `self-label` or `annotate` (.jsonl, .jsonl.gz, .csv or .parquet)."
_PARTIAL = "Merge although shards are missing, or their runs have not ended."
_MIXED = "Merge although runs have different settings."
Parts = Annotated[list[Path], typer.Argument(metavar="PARTS", show_default=False, help=_PARTS)]
MergedOutput = Annotated[
    Path | None,
    OutputFile("--output", records_kind("records", "run", exports=True)),
    o.option(o.OUTPUT, "--output", "-o", metavar="FILE", help="Write the records to this file; as for `score`."),
]
Partial = Annotated[bool, o.flag(MERGE, "--partial", help=_PARTIAL)]
Mixed = Annotated[bool, o.flag(MERGE, "--mixed", help=_MIXED)]


def merge(
    context: typer.Context,
    parts: Parts,
    partial: Partial = False,
    mixed: Mixed = False,
    output: MergedOutput = None,
    no_resume: o.NoResume = False,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> int:
    """Merge the outputs of several runs: one record for each item, checked for missing shards and contradictions."""
    from realqa_cli.cli.percentiles import Percentiles
    from realqa_cli.io.jsonl import dump_line
    from realqa_cli.steps.merge.merge import Merge, MergeSettings

    reporter = Reporter.of(context)
    merged = Merge(parts, settings_of(context, MergeSettings))
    percentiles = Percentiles()
    percentiles.use_runs(merged.runs)
    appender = OutputOptions.of(context).appender(dump_line, percentiles)
    if appender is None:
        sink = JsonLines()
        for record in merged.records():
            sink.write(record)
    else:
        with appender as file:
            for record in merged.records():
                if not file.take(dump_line(record)):
                    file.append(record)
        assert output is not None
        write_runs(output, merged.runs, {"1/1": {"items": merged.counts.merged, "failed": merged.counts.failed}})
    reporter.say(merged.counts.summary(len(parts)))
    return 0
