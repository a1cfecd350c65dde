"""The formats of `realqa annotate --to` and `--from`, and the kinds of file that `--to` writes."""

from pathlib import Path

from realqa_cli.cli.output_files import OutputKind, is_json, records_kind

BATCH, LABEL_STUDIO = "openai-batch", "label-studio"

Exchange = tuple[str, Path]
"""A format and a file."""


def _has_tasks(path: Path) -> bool:
    return is_json(path, lambda tasks: "realqa_id" in tasks[0]["data"])


EXCHANGE_KINDS = {
    LABEL_STUDIO: OutputKind("a file of Label Studio tasks", (".json",), _has_tasks),
    BATCH: records_kind("a file of batch requests", "custom_id", continues=False),
}
"""The kind of file by format."""
