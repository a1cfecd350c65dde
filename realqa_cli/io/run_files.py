"""The manifests next to an output file, `FILE.run.json`: what the `run` ids of its records mean."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from realqa_cli.errors import OutputError
from realqa_cli.io.jsonl import write_atomic


def read_runs(output: Path) -> dict[str, Any]:
    """The manifests by run id; {} where there are none. Raises OutputError for a file of another kind."""
    file = manifest_file(output)
    try:
        runs = json.loads(file.read_text(encoding="utf-8"))["runs"]
        return {run: dict(manifest) for run, manifest in runs.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputError(
            "holds no run manifests", where=str(file), remedy="move it away, or choose another output"
        ) from error


def write_runs(output: Path, runs: Mapping[str, Any]) -> None:
    """Replaces them. Raises OutputError."""
    write_atomic(manifest_file(output), json.dumps({"runs": runs}, indent=1) + "\n")


def manifest_file(output: Path) -> Path:
    """The file next to `output` that holds its manifests."""
    return output.with_name(f"{output.name}.run.json")
