"""Files of conversations in sharegpt form, as fine-tuning frameworks keep them: JSON Lines, or one JSON list.

Knows both dialects, `messages` of `role` and `content`, and `conversations` of `from` and `value`.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from realqa_cli.errors import RecordError, UsageError
from realqa_cli.io.jsonl import read_lines

_BLANK = b" \t\r\n\xef\xbb\xbf"  # the last three bytes are a BOM
_ANSWERERS = frozenset({"assistant", "gpt"})
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def read_sharegpt(file: Path) -> Iterator[tuple[int, dict[str, Any] | RecordError]]:
    """(number from 1 of the line or of the list's item, record or what is wrong with it).

    Raises `UsageError` for a file that cannot be read, or a list that is no JSON.
    """
    if not _is_list(file):
        yield from read_lines(file)
        return
    try:
        listed = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        what = f"cannot be read as JSON ({getattr(error, 'strerror', None) or error})"
        raise UsageError(what, where=str(file), remedy="download or write it again") from error
    for number, item in enumerate(listed, 1):
        if isinstance(item, dict):
            yield number, item
        else:
            what = f"an item of the list is a {type(item).__name__}, not an object"
            yield number, RecordError(what, type="record", where=f"{file}:{number}")


def answers(record: Mapping[str, Any]) -> list[str]:
    """What the assistant says in a conversation; [] for what is none."""
    for turns, role, text in (
        (record.get("messages"), "role", "content"),
        (record.get("conversations"), "from", "value"),
    ):
        if isinstance(turns, list):
            said = [turn for turn in turns if isinstance(turn, Mapping) and turn.get(role) in _ANSWERERS]
            return [turn[text] for turn in said if isinstance(turn.get(text), str)]
    return []


def messages(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """The turns of a conversation in either dialect, as `role` and `content`; [] for any other record."""
    for turns, role, text in (
        (record.get("messages"), "role", "content"),
        (record.get("conversations"), "from", "value"),
    ):
        if isinstance(turns, list):
            known = [turn for turn in turns if isinstance(turn, Mapping) and turn.get(role) in _ROLES]
            return [{"role": _ROLES[turn[role]], "content": str(turn.get(text, ""))} for turn in known]
    return []


def media(record: Mapping[str, Any]) -> Sequence[str]:
    """The names of the conversation's photos, or else of its videos."""
    for key in ("images", "image", "videos", "video"):
        named = record.get(key)
        names = [named] if isinstance(named, str) else named
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return names
    return []


def locate_image(name: str, folders: Sequence[Path]) -> str | None:
    """The path of a photo that a conversation names, below one of the folders; None where it is in none.

    Releases name photos from a folder of the author's: leading parts of the name that are not there go.
    """
    parts = Path(name).parts
    for start in range(len(parts)):
        for folder in folders:
            path = os.path.join(folder, *parts[start:])
            if os.path.isfile(path):
                return path
    return None


def _is_list(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            while block := stream.read(4096):
                if start := block.lstrip(_BLANK):
                    return start.startswith(b"[")
    except (OSError, ValueError) as error:
        what = f"cannot be read ({getattr(error, 'strerror', None) or error})"
        raise UsageError(what, where=str(file), remedy="check the path") from error
    return False
