"""A process that has imported the package, and forks one process for each `realqa` command of the tests.

Importing torch and transformers takes seconds, which a command started by a fork does not spend again. Each command
still is a process: its own arguments, folder, stdin, stdout, stderr and exit code, and nothing that it changes lasts.

    code = ForkServer().run(["score", "photos"], folder, environment, [stdin, stdout, stderr])

The process of the tests and the server talk over a pair of sockets: a request is a text in JSON with three file
descriptors, and its replies are the process id and the exit code. The server ends with the process of the tests.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from typing import IO, NoReturn

IMPORTED_ONCE = (
    "PIL", "accelerate", "av", "httpx2", "huggingface_hub", "jinja2", "jsonlines", "matplotlib", "numpy",
    "openpyxl", "peft", "pillow_heif", "pydantic", "realqa_cli", "rich", "safetensors", "scipy", "sklearn", "tokenizers",
    "torch", "transformers", "typer",
)  # fmt: skip
"""Packages that the server imports as soon as a command has needed them. ONNX Runtime starts a thread: never here."""
LENGTH = struct.Struct("<Q")
"""How long the text of a request is."""
LIMIT = 300.0
"""Seconds that a command may take."""


class ForkServer:
    """Starts the server with an environment; `run` gives it one command at a time."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(LIMIT)
        self._replies = self._socket.makefile("r")
        given = [sys.executable, __file__, str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                given, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        atexit.register(self.close)

    def run(
        self, arguments: Sequence[str], folder: str, environment: Mapping[str, str], streams: Sequence[IO[bytes]]
    ) -> int:
        """Run `realqa ARGUMENTS` in the folder with stdin, stdout and stderr, which are files. Returns the exit code.

        environment: replaces that of the server, for what reads it after the import of a module.
        """
        request = json.dumps([arguments, folder, dict(environment)]).encode()
        with self._lock:
            socket.send_fds(self._socket, [LENGTH.pack(len(request))], [stream.fileno() for stream in streams])
            self._socket.sendall(request)
            process = int(self._reply())
            try:
                return int(self._reply())
            except TimeoutError:
                os.kill(process, signal.SIGKILL)
                raise

    def close(self) -> None:
        """End the server."""
        self._replies.close()
        self._socket.close()
        self._process.wait()

    def _reply(self) -> str:
        line = self._replies.readline()
        assert line, "the fork server has ended"
        return line


def serve(connection: socket.socket) -> None:
    """Fork a process for each request until the connection ends."""
    while True:
        size, streams, _, _ = socket.recv_fds(connection, LENGTH.size, 3)
        if not size:
            return
        (length,) = LENGTH.unpack(size)
        arguments, folder, environment = json.loads(connection.recv(length, socket.MSG_WAITALL))
        loaded, report = os.pipe()
        gc.freeze()
        with warnings.catch_warnings(action="ignore"):  # some allocators have a thread, which survives a fork
            process = os.fork()
        if process == 0:
            os.close(loaded)
            connection.close()
            os.environ.clear()
            os.environ.update(environment)
            os.chdir(folder)
            _run(arguments, streams, report)
        os.close(report)
        for stream in streams:
            os.close(stream)
        connection.sendall(f"{process}\n".encode())
        with open(loaded) as names:
            needed = names.read().split()
        _, status = os.waitpid(process, 0)
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        _import(needed)


def _run(arguments: Sequence[str], streams: Sequence[int], report: int) -> NoReturn:
    """Be the process of one command."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.argv[:] = ["realqa", *arguments]
    known = set(sys.modules)
    atexit.register(_report, known, report)
    from realqa_cli.cli import run_process

    run_process()


def _report(known: set[str], report: int) -> None:
    """Write the names of the modules that the command has imported itself."""
    names = [name for name in [*sys.modules] if name not in known and name.partition(".")[0] in IMPORTED_ONCE]
    with open(report, "w") as stream:
        stream.write("\n".join(names))


def _import(names: Sequence[str]) -> None:
    """Import modules, so that the next command finds them; those that cannot be imported alone are left to it."""
    for name in names:
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(name)


def main(number: int) -> None:
    """Serve the connection with this file descriptor."""
    del sys.path[0]  # the folder of this file
    with socket.socket(fileno=number) as connection:
        serve(connection)


if __name__ == "__main__":
    main(int(sys.argv[1]))
