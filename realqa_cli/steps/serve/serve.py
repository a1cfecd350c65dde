"""The step `realqa serve`: listens, answers until it is asked to stop, and finishes what it has accepted.

uvicorn owns the connections and `app` the requests. On SIGTERM and SIGINT the socket closes, so that new connections
are refused; requests that were accepted are answered first.
"""

import logging
import signal
import socket
from collections.abc import Callable, Mapping
from functools import partial
from types import FrameType

import uvicorn

from realqa_cli.errors import UsageError
from realqa_cli.inference.ray import RecordSource
from realqa_cli.steps.serve.admission import Admission
from realqa_cli.steps.serve.app import make_app
from realqa_cli.steps.serve.batch_queue import BatchQueue
from realqa_cli.steps.serve.metrics import ServeMetrics
from realqa_cli.steps.serve.settings import ApiKey, ServeSettings

BACKLOG = 512
"""Connections that wait to be accepted."""
IDLE_SECONDS = 30
"""An idle connection is closed after so long."""


def run_server(
    sources: Mapping[str, RecordSource],
    settings: ServeSettings,
    key: ApiKey | None,
    listener: socket.socket,
    on_start: Callable[[str], object],
) -> None:
    """Answers requests until SIGTERM or SIGINT, then finishes those that were accepted.

    sources: a loaded model for each task.  on_start: gets the address. Raises KeyboardInterrupt after SIGINT.
    """
    metrics = ServeMetrics()
    queues = {task: BatchQueue(source, metrics.run_items.labels(task).observe) for task, source in sources.items()}
    for task, queue in queues.items():
        metrics.watch_waiting(task, partial(getattr, queue, "waiting"))
    admission = Admission(settings, key, metrics.in_progress.set)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    config = uvicorn.Config(
        make_app(queues, settings, admission, metrics),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
    )
    server = uvicorn.Server(config)

    def stop(number: int, frame: FrameType | None) -> None:
        """Before uvicorn handles signals, and after: it raises again what it has handled."""
        server.should_exit = True

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        on_start(address_of(listener))
        server.run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, previous)
        for queue in queues.values():
            queue.close()


def listen(settings: ServeSettings) -> socket.socket:
    """The socket, before the models are loaded: a port in use is reported at once. Raises UsageError."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        what, where = f"cannot listen there: {reason}", f"--host {settings.host} --port {settings.port}"
        raise UsageError(what, where=where, remedy="choose another --port; 0 takes a free one") from error


def address_of(listener: socket.socket) -> str:
    """The address of the server for a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
