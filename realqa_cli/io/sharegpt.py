"""Files of conversations in sharegpt form, as fine-tuning frameworks use them: JSON Lines, or one JSON list.
Records are read too, in all forms that commands write them in.

Reads both dialects: `messages` of `role` and `content`, and `conversations` of `from` and `value`.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from realqa_cli.errors import RecordError
from realqa_cli.io.lists import first_character, read_json_items
from realqa_cli.io.locate import locate
from realqa_cli.io.record_files import is_table, read_record_file

_ANSWERERS = frozenset({"assistant", "gpt"})
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def read_sharegpt(file: Path) -> Iterator[tuple[int, dict[str, Any] | RecordError]]:
    """Yield (number from 1 of the line, row or item of the list, record or `RecordError`).

    Raises `UsageError` for a file that cannot be read, or a list that is not valid JSON.
    """
    items = read_json_items(file) if not is_table(file) and first_character(file) == "[" else None
    yield from read_record_file(file) if items is None else items


def answers(record: Mapping[str, Any]) -> list[str]:
    """The assistant's texts in a conversation; [] for a record that is not a conversation."""
    for turns, role, text in (
        (record.get("messages"), "role", "content"),
        (record.get("conversations"), "from", "value"),
    ):
        if isinstance(turns, list):
            answering = [turn for turn in turns if isinstance(turn, Mapping) and turn.get(role) in _ANSWERERS]
            return [turn[text] for turn in answering if isinstance(turn.get(text), str)]
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

    Releases name photos from a folder of the author's: leading parts of the name that do not exist are dropped.
    """
    for separated in dict.fromkeys((name, name.replace("\\", "/"))):
        parts = Path(separated).parts
        for start in range(len(parts)):
            for folder in folders:
                path = locate(os.path.join(*parts[start:]), str(folder))
                if path is not None and os.path.isfile(path):
                    return path
    return None
