"""`FILE.run.json` next to an output file: the manifests to which the `run` ids of its records refer.

It also names the shards whose run has ended, "1/1" for a whole run, with their numbers of items.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from realqa_cli.errors import OutputError
from realqa_cli.io.jsonl import write_atomic


def read_runs(output: Path) -> dict[str, Any]:
    """The manifests by run id; {} without such a file. Raises OutputError for a file with other contents."""
    return _read(output)[0]


def read_completed(output: Path) -> dict[str, Any] | None:
    """The shards whose run has ended; None where the file does not say. Raises OutputError as `read_runs`."""
    return _read(output)[1]


def write_runs(output: Path, runs: Mapping[str, Any], completed: Mapping[str, Any] | None = None) -> None:
    """Write all manifests of an output file, replacing earlier ones. Raises OutputError."""
    content = {"runs": runs} if completed is None else {"runs": runs, "completed": completed}
    write_atomic(manifest_file(output), json.dumps(content, indent=1) + "\n")


def manifest_file(output: Path) -> Path:
    """The file for the manifests of `output`."""
    return output.with_name(f"{output.name}.run.json")


def _read(output: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    file = manifest_file(output)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        runs = {run: dict(manifest) for run, manifest in content["runs"].items()}
        return runs, None if content.get("completed") is None else dict(content["completed"])
    except FileNotFoundError:
        return {}, None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputError(
            "does not contain run manifests", where=str(file), remedy="move it away, or choose another output"
        ) from error
