"""A JSON Lines output that has its name only when it is complete.

A run appends to `FILE.part` and renames it to FILE at its end, so that a run that was killed leaves no file that
looks complete. The next run continues with `FILE.part`, or with a copy of FILE where that exists.
"""

import os
import shutil
from pathlib import Path
from typing import Self

from realqa_cli.errors import OutputError
from realqa_cli.io.appender import Appender, Key
from realqa_cli.io.jsonl import sync_folder, writing
from realqa_cli.io.run_files import manifest_file


class PartialFile:
    """A context manager around an `Appender` on `FILE.part`.

    resume, overwrite, key: as for `Appender`. With `overwrite` FILE keeps its content until the new one is complete.
    """

    def __init__(
        self, path: Path, *, resume: bool = True, overwrite: bool = False, key: Key = lambda record: None
    ) -> None:
        self.path = Path(os.path.realpath(path))
        self.part = self.path.with_name(f"{self.path.name}.part")
        self.appender = Appender(self.part, resume=resume and not overwrite, overwrite=True, key=key)
        self._resume, self._overwrite = resume, overwrite

    @property
    def continues(self) -> Path | None:
        """The file with records of an earlier run; None without one, or where they are to be replaced."""
        if self._overwrite or not self._resume:
            return None
        return next(filter(_filled, (self.part, self.path)), None)

    def __enter__(self) -> Self:
        if self.path.exists() and not self.path.is_file():
            raise OutputError("this is not a regular file", where=str(self.path), remedy="choose another output")
        if not self._resume and not self._overwrite and any(map(_filled, (self.part, self.path))):
            remedy = "add --overwrite to replace it, or choose another output"
            raise OutputError("the file is not empty", where=str(self.path), remedy=remedy)
        if self.continues and not self.part.exists():
            with writing(self.path):
                copy = self.part.with_name(f".{self.part.name}.copy")
                shutil.copyfile(self.path, copy)
                copy.replace(self.part)
        self.appender.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        try:
            if kind is None:
                self.appender.flush()
                with writing(self.path):
                    if (manifests := manifest_file(self.part)).exists():
                        manifests.replace(manifest_file(self.path))
                    self.part.replace(self.path)
                sync_folder(self.path.parent)
        finally:
            self.appender.__exit__(kind, *raised)
        if kind is None:
            self.part.with_name(f"{self.part.name}.lock").unlink(missing_ok=True)


def _filled(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
