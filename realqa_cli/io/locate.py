"""Find the file that a list names: relative to the list, with backslashes, in another Unicode form.

Lists that were written on Windows have backslashes as separators, and those from a Mac decompose accents (NFD)
that other systems compose (NFC). A name is taken literally wherever there is such a file.
"""

import os
import unicodedata
from collections.abc import Iterator

from realqa_cli.errors import MediaError

LONGEST = 4096
"""Characters of a path; what is longer is something else, such as a photo in base64."""

_SHOWN = 40


def locate(name: str, folder: str = "") -> str | None:
    """The path of the file or folder `name`, seen from `folder`; None where there is none."""
    for spelling in _spellings(name):
        path = os.path.join(folder, spelling)
        if is_there(path):
            return path
    separated = name.replace("\\", "/")
    return _in_parts(separated, folder) if not separated.isascii() else None


def file_name(name: str) -> str:
    """The last part of a path for comparisons: backslashes are separators, accents are composed (NFC)."""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).rpartition("/")[2]


def comparable(path: str) -> str:
    """The resolved path; that of a file that does not exist with slashes and composed accents."""
    if not os.path.lexists(path):
        path = unicodedata.normalize("NFC", path.replace("\\", "/"))
    return os.path.realpath(path)


def is_there(path: str) -> bool:
    """Whether the path exists, or may exist but cannot be checked: reading it will then report why."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
    return True


def _spellings(name: str) -> Iterator[str]:
    yield name
    if "\\" in name and os.sep == "/":
        yield name.replace("\\", "/")


def _in_parts(name: str, folder: str) -> str | None:
    """The path where each part of the name may be in another Unicode form than the file system has it."""
    path = "/" if name.startswith("/") else folder
    for part in name.split("/"):
        forms = (part, unicodedata.normalize("NFC", part), unicodedata.normalize("NFD", part))
        found = next((each for form in forms if os.path.lexists(each := os.path.join(path, form))), None)
        if found is None:
            return None
        path = found
    return path


def check_name(name: str) -> None:
    """Raise `MediaError` for a name that is not a path but the data of a photo."""
    if name.lower().startswith("data:"):
        what = "this is a data: URI, not a path"
    elif len(name) > LONGEST:
        what = f"this is not a path, being {len(name):,} characters long"
    else:
        return
    raise MediaError(what, type="unsupported", where=shortened(name), remedy="write the photo to a file and name it")


def shortened(name: str) -> str:
    """The name itself, or the first characters of one that `check_name` refuses."""
    is_data = name.lower().startswith("data:") or len(name) > LONGEST
    return f"{name[:_SHOWN]}…" if is_data and len(name) > _SHOWN else name
