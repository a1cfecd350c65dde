"""Exchange labels with people through Label Studio: `--to label-studio` and `--from label-studio`."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from realqa_cli.cli.annotate_request import AnnotateRequest
from realqa_cli.cli.output import JsonLines
from realqa_cli.cli.reporter import Reporter
from realqa_cli.cli.sinks import Record
from realqa_cli.domain.wording import plural
from realqa_cli.errors import UsageError
from realqa_cli.io.jsonl import dump_line
from realqa_cli.io.labels import STDIN, read_label_rows
from realqa_cli.io.tables import SUFFIXES
from realqa_cli.steps.annotate import label_studio
from realqa_cli.steps.annotate.agreement import agreement


def write_label_studio(request: AnnotateRequest, file: Path) -> int:
    """Write label records as tasks, and the labeling configuration next to them. Raises `UsageError`."""
    count = label_studio.write_tasks(
        _read_records(request.options.sources),
        file,
        image_root=request.image_root,
        image_url=request.image_url,
        overwrite=request.options.overwrite,
        say=request.reporter.say,
    )
    request.reporter.say(f"{plural(count, 'task')} in {file}, the configuration in {label_studio.config_path(file)}")
    return 0


def read_refinements(request: AnnotateRequest, file: Path) -> int:
    """Write the records of an export, and print the agreement of model and people to stderr."""
    options, reporter = request.options, request.reporter
    if options.sources:
        raise UsageError("the export names its photos itself", where="SOURCES", remedy="leave them out")
    records = list(label_studio.read_export(file, say=reporter.say))
    with options.appender(_key) or nullcontext() as opened:
        for record in records:
            if opened is None:
                JsonLines().write(record)
            elif record.get("error") is not None or not opened.take(_key(record)):
                opened.append(record)
    failed = sum(record.get("error") is not None for record in records)
    _print_agreement(records, reporter)
    refined = sum(record.get("refined") is True for record in records)
    reporter.say(f"{plural(len(records), 'record')}, {refined} refined{f', {failed} failed' if failed else ''}")
    return 1 if failed else 0


def _key(record: Record) -> str | None:
    """What makes two records the same work: their whole content; None for failed items."""
    return None if record.get("error") is not None else dump_line(record)


def _read_records(sources: Any) -> Iterator[dict[str, Any]]:
    """The label records of the sources. Raises `UsageError` for a source or line that holds none."""
    if not sources:
        raise UsageError("no labels are given", remedy="name .jsonl files of realqa annotate or self-label")
    for source in sources:
        if source != STDIN and not source.lower().endswith(SUFFIXES):
            remedy = "give a file of realqa annotate or self-label"
            raise UsageError("not a file of labels", where=source, remedy=remedy)
        for row in read_label_rows(source):
            if row.error is not None:
                raise UsageError(str(row.error), remedy="repair the line")
            yield {**row.record, row.kind: row.named}


def _print_agreement(records: list[dict[str, Any]], reporter: Reporter) -> None:
    if reporter.quiet or not any(record.get("refined") is True for record in records):
        return
    from realqa_cli.cli.views.agreement import show

    show(list(agreement(records)))
