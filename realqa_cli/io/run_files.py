"""`FILE.run.json` next to an output file: the manifests to which the `run` ids of its records refer."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from realqa_cli.errors import OutputError
from realqa_cli.io.jsonl import write_atomic


def read_runs(output: Path) -> dict[str, Any]:
    """The manifests by run id; {} without such a file. Raises OutputError for a file with other contents."""
    file = manifest_file(output)
    try:
        runs = json.loads(file.read_text(encoding="utf-8"))["runs"]
        return {run: dict(manifest) for run, manifest in runs.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputError(
            "does not contain run manifests", where=str(file), remedy="move it away, or choose another output"
        ) from error


def write_runs(output: Path, runs: Mapping[str, Any]) -> None:
    """Write all manifests of an output file, replacing earlier ones. Raises OutputError."""
    write_atomic(manifest_file(output), json.dumps({"runs": runs}, indent=1) + "\n")


def manifest_file(output: Path) -> Path:
    """The file for the manifests of `output`."""
    return output.with_name(f"{output.name}.run.json")
