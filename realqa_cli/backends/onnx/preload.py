"""Loads the graphs of the bundled model in a thread, while the rest of the program is imported.

Sessions of ONNX Runtime are created without Python's global lock, so that a new process gets its first score sooner.
"""

import json
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from realqa_cli import models

if TYPE_CHECKING:
    from realqa_cli.backends.onnx.graphs import Graphs

_started: "dict[Path, Future[Graphs]]" = {}


def preload_bundled() -> None:
    """Starts to load the graphs of the bundled model; `preloaded` returns them."""
    folder = models.path(models.BUNDLED[0])
    if folder not in _started:
        _started[folder] = Future()
        # no daemon: the end of the process waits for it, as a library that is interrupted there can abort the process
        threading.Thread(target=_load, args=(folder, _started[folder])).start()


def preloaded(folder: Path) -> "Graphs | None":
    """The graphs of that model folder, once; None if loading was not started, or failed.

    A failure is not reported here: the caller loads the graphs itself, with the same result.
    """
    future = _started.pop(folder, None)
    return None if future is None or future.exception() is not None else future.result()


def _load(folder: Path, future: "Future[Graphs]") -> None:
    try:
        from realqa_cli.backends.onnx.graphs import Graphs
        from realqa_cli.backends.onnx.runtimes import OnnxRuntime

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        future.set_result(Graphs(folder, config, OnnxRuntime()))
    except BaseException as error:  # noqa: BLE001 - whoever waits must not wait for ever
        future.set_exception(error)
