"""The part of `realqa annotate` that trades files with people: Label Studio's tasks out, its export in."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realqa_cli.cli.console import Reporter
from realqa_cli.cli.delivery import OutputOptions
from realqa_cli.cli.sinks import JsonLines
from realqa_cli.errors import UsageError
from realqa_cli.io.appender import Appender
from realqa_cli.io.labels import STDIN, read_label_rows
from realqa_cli.steps.annotate import label_studio
from realqa_cli.steps.annotate.agreement import agreement


@dataclass(frozen=True)
class People:
    """image_root: the folder that Label Studio serves.  image_url: instead, where a web server has it."""

    wanted: OutputOptions
    talk: Reporter
    image_root: Path | None = None
    image_url: str | None = None

    def write_tasks(self, file: Path) -> int:
        """`--to label-studio FILE`: label records as tasks, with the labeling configuration beside them."""
        if not file.absolute().parent.is_dir():
            raise UsageError(f"no folder {file.parent}", where="--to", remedy="make it first")
        count = label_studio.write_tasks(
            self._labels(),
            file,
            image_root=self.image_root,
            image_url=self.image_url,
            overwrite=self.wanted.overwrite,
            say=self.talk.say,
        )
        self.talk.say(f"{count} tasks in {file}, the configuration in {label_studio.config_path(file)}")
        return 0

    def _labels(self) -> Iterator[dict[str, Any]]:
        if not self.wanted.sources:
            raise UsageError("no labels are given", remedy="name .jsonl files of realqa annotate or self-label")
        for source in self.wanted.sources:
            if source != STDIN and not source.lower().endswith(".jsonl"):
                remedy = "give a .jsonl file of realqa annotate or self-label"
                raise UsageError("holds no labels", where=source, remedy=remedy)
            for row in read_label_rows(source):
                if row.error is not None:
                    raise UsageError(str(row.error), remedy="mend the line")
                yield {**row.record, row.kind: row.named}

    def read_export(self, file: Path) -> int:
        """`--from label-studio FILE`: the refined records, and on stderr how far people agree."""
        output, overwrite = self.wanted.output, self.wanted.overwrite
        if self.wanted.sources:
            raise UsageError("the export names its photos itself", where="SOURCES", remedy="leave them out")
        if overwrite and output is None:
            raise UsageError("concerns an output file", where="--overwrite", remedy="add --output FILE")
        records = list(label_studio.read_export(file, say=self.talk.say))
        target = Appender(output, resume=False, overwrite=overwrite) if output else None
        with target or nullcontext() as opened:
            write = opened.append if opened else JsonLines(lambda: None).write
            for record in records:
                write(record)
        failed = sum(record.get("error") is not None for record in records)
        self._tell(records)
        refined = sum(record.get("refined") is True for record in records)
        told = f"{len(records)} records, {refined} refined{f', {failed} failed' if failed else ''}"
        self.talk.say(told)
        return 1 if failed else 0

    def _tell(self, records: list[dict[str, Any]]) -> None:
        if self.talk.quiet or not any(record.get("refined") is True for record in records):
            return
        from realqa_cli.cli.views.agreement import show

        lines: list[Mapping[str, Any]] = list(agreement(records))
        show(lines)
