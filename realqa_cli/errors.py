"""Every error that realqa raises deliberately: one tree, each with what, where and a remedy.

    RealqaError
    ├── UsageError          the command cannot run as requested           exit code 2
    │   ├── ModelError      a model, adapter or server cannot be used
    │   └── OutputError     an output file is locked, foreign or not to be overwritten
    └── ItemError           one item failed; the run continues            exit code 1
        ├── MediaError      a photo or video is missing, broken or refused
        └── RecordError     a line of JSON Lines is not a usable record

This module knows nothing about terminals: the command line turns a `UsageError` into one line on
stderr, and the steps turn an `ItemError` into the record's `error` field.
"""


def escaped(text: str) -> str:
    """The text with control characters such as ESC and BEL as escapes, so that a terminal does not obey them."""
    return "".join(c if c.isprintable() or c in "\t\n" or c > "\x9f" else f"\\x{ord(c):02x}" for c in text)


def one_line(error: object, limit: int = 300) -> str:
    """The text of an error on one line of at most `limit` characters; its class name if it has no text."""
    return " ".join(str(error).split())[:limit] or type(error).__name__


class RealqaError(Exception):
    """An error with a message that a user can act on.

    `what` says what is wrong, `where` the file, line or option, `remedy` what to do about it.
    """

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        self.what, self.where, self.remedy = what, where, remedy
        super().__init__(what)

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        return " ".join((f"{line}; {self.remedy}" if self.remedy else line).split())


class UsageError(RealqaError):
    """The command line, the configuration or the environment is wrong: nothing was done."""


class ModelError(UsageError):
    """A model folder, hub id, adapter or server cannot be found, read or used for the task."""


class OutputError(UsageError):
    """The output file is in use by another writer, or holds what must not be overwritten."""


class ItemError(RealqaError):
    """One item failed. `type` is the short stable word that is the record's `error.type`."""

    def __init__(self, what: str, *, type: str = "failed", where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.type = type

    def as_field(self) -> dict[str, str]:
        """The value of the record's `error` field."""
        return {"type": self.type, "message": str(self)}


class MediaError(ItemError):
    """A photo or video is missing, empty, broken, of a refused format, or too large."""


class RecordError(ItemError):
    """A line is not JSON, not an object, or lacks the field that the step needs."""
