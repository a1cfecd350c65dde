"""Copies of the kept photographs, or links to them, in a folder of their own.

Nothing is moved, deleted or overwritten. A name that another file has gets a number, the same for all files of a
photograph; a file that is there already, from an earlier run, counts as placed.
"""

import filecmp
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal

from realqa_cli.errors import OutputError, UsageError

Way = Literal["copy", "link"]


@dataclass
class Placement:
    """A folder, and what was placed there: counts of files.

    dry_run: whether nothing is written.
    """

    folder: Path
    way: Way
    dry_run: bool = False
    placed: int = 0
    there_before: int = 0
    _used: set[str] = field(default_factory=set)

    def check(self, sources: Sequence[str | Path]) -> None:
        """Raises UsageError for a folder that is a file, or lies in a folder of the sources."""
        option = f"--{self.way}-to"
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"{self.folder} is not a folder", where=option, remedy="name another one")
        real = Path(os.path.realpath(self.folder))
        for source in sources:
            folder = Path(os.path.realpath(source))
            if folder.is_dir() and (folder == real or folder in real.parents):
                what = f"{self.folder} lies in {source}, so that its photos would be ranked again"
                raise UsageError(what, where=option, remedy="name a folder outside of it")

    def place(self, files: Sequence[Path]) -> None:
        """Place all files of a photograph. Raises OutputError."""
        for number in count(1):
            targets = [self.folder / _numbered(file, number) for file in files]
            names = {target.name.casefold() for target in targets}  # some file systems ignore case
            if names & self._used:
                continue
            if all(
                not _is_taken(target) or self._is_placed(file, target)
                for file, target in zip(files, targets, strict=True)
            ):
                break
        self._used |= names
        for file, target in zip(files, targets, strict=True):
            if _is_taken(target):
                self.there_before += 1
                continue
            self.placed += 1
            if not self.dry_run:
                self._write(file, target)

    def others(self) -> int:
        """Entries of the folder that were not placed by this run or found as placed."""
        if not self.folder.is_dir():
            return 0
        return sum(entry.name.casefold() not in self._used for entry in self.folder.iterdir())

    def _is_placed(self, file: Path, target: Path) -> bool:
        if self.way == "link":
            return target.is_symlink() and os.path.realpath(target) == os.path.realpath(file)
        try:
            return not target.is_symlink() and filecmp.cmp(file, target, shallow=False)
        except OSError:
            return False

    def _write(self, file: Path, target: Path) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.way == "link":
                target.symlink_to(os.path.abspath(file))
                return
            _copy(file, target)
        except OSError as error:
            what = f"cannot be {'linked' if self.way == 'link' else 'copied'} ({error.strerror or error})"
            remedy = "try --copy-to" if self.way == "link" else "free some space, or check the permissions"
            raise OutputError(what, where=str(target), remedy=remedy) from error


def _copy(file: Path, target: Path) -> None:
    """Copy a file as a whole or not at all, and never over an existing one. Raises OSError."""
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        shutil.copy2(file, temporary)
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if _is_taken(target):
                raise
            temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)


def _numbered(file: Path, number: int) -> str:
    return file.name if number == 1 else f"{file.stem}-{number}{file.suffix}"


def _is_taken(target: Path) -> bool:
    return os.path.lexists(target)
