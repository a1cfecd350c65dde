"""The command line: the only part that handles terminals and exit codes. `main` is the single exit point.

Exit codes: 0 all done, 1 some items failed, 2 wrong usage or configuration, 130 interrupted.
Everything here starts without torch; a command imports what it needs when it is called.
"""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from realqa_cli.cli.missing_packages import missing_package
from realqa_cli.cli.reporter import write_stderr
from realqa_cli.cli.streams import replace_closed_streams
from realqa_cli.errors import UsageError, escaped

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. Every error ends here, as one line on stderr."""
    replace_closed_streams()
    try:
        from realqa_cli.cli import app

        code = app.run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _close_stdout_for_good()
        return 0
    except SystemExit as stop:  # Rich ends the process itself if its output is closed
        if isinstance(stop.__context__, BrokenPipeError):
            return 0
        raise
    except KeyboardInterrupt as stop:
        return _leave(f"interrupted: {stop}" if stop.args else "interrupted", INTERRUPTED)
    except UsageError as error:
        return _leave(str(error), WRONG_USAGE)
    except Exception as error:  # users must never see a traceback
        if os.environ.get("REALQA_DEBUG") == "1":
            raise
        if isinstance(error, ModuleNotFoundError) and (usage := missing_package(error)) is not None:
            return _leave(str(usage), WRONG_USAGE)
        if isinstance(error, OSError) and error.errno is not None:  # a full disk, a read-only folder
            _close_stdout_for_good()
            where = f"{os.fspath(error.filename)!s}: " if error.filename else ""
            return _leave(f"{where}{error.strerror}", WRONG_USAGE)
        return _leave(
            f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:500]}"
            " (a fault of realqa: please report it, with what REALQA_DEBUG=1 prints)",
            FAILED,
        )


def run_process() -> NoReturn:
    """Runs the command of this process and ends the process with its exit code.

    After an interrupt the process ends at once: Python would wait for threads that still work, and further
    interrupts during that time could abort the process in a library.
    """
    sys.unraisablehook = _report_unraisable
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would search all installed packages for some
    try:
        code = main()
    except KeyboardInterrupt:  # another one, while the first one was reported
        code = INTERRUPTED
    if code != INTERRUPTED:
        sys.exit(code)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if workers := sys.modules.get("realqa_cli.media.worker_pool"):
        workers.stop_workers()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or None
            stream.flush()
    os._exit(code)


def _report_unraisable(error: "sys.UnraisableHookArgs") -> None:
    """As Python does, but for further interrupts while the first one ends the command."""
    if not issubclass(error.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(error)


def _leave(message: str, code: int) -> int:
    """Write one line to stderr, whatever the message holds; a stderr that is closed or broken is ignored."""
    write_stderr(f"realqa: {escaped(' '.join(message.split()))}\n")
    return code


def _close_stdout_for_good() -> None:
    """Discards what is still buffered, so that the flush at exit does not fail."""
    with suppress(OSError, ValueError):  # ValueError: stdout is not a file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
