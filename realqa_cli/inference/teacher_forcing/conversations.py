"""Conversations to learn from: sharegpt JSON Lines as `realqa build-cot` writes them, checked line by line.

One JSON list of them, as other releases have it, is read as well; its items count as lines.

Both common dialects are read: `messages` of `role` and `content`, and `conversations` of `from` and `value`.
Image paths are seen from the file's folder, or, if nothing is there, from the current folder. Photos are
named here and opened elsewhere. Whatever is wrong with a line is a `UsageError` that names file and line:
training on a part of the data without saying so would be worse than not training.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from realqa_cli.domain import prompts
from realqa_cli.domain.scales import Scale
from realqa_cli.errors import RecordError, UsageError
from realqa_cli.io import sharegpt

MARK = "<image>"
COT_FORMATS = frozenset({"cot", "cot-regular"})
SCORE_FORMATS = COT_FORMATS | {"direct"}

_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
_NUMERAL = r"(\d(?:\.\d+)?|10(?:\.0+)?)"
_DIRECT = re.compile(
    "|".join(
        re.escape(prompts.about(prompts.DIRECT_PREFIX, subject)) + _NUMERAL + re.escape(prompts.DIRECT_END)
        for subject in ("image", "video")
    )
)
_COT = re.compile(rf"<\s*{_NUMERAL}\s*>")


@dataclass(frozen=True)
class Conversation:
    """One line.

    turns: (role, text) in order, the last one the assistant's; `MARK` in a user's text is a photo.
    images: the photos in order.  where: "file:line".  format: as `build-cot` names it.
    mos, mos_range: the label and its scale, where the line has them.  scale: that of the written number.
    """

    turns: tuple[tuple[str, str], ...]
    images: tuple[Path, ...]
    where: str
    format: str | None = None
    mos: float | None = None
    mos_range: Scale | None = None
    scale: Scale | None = None

    @cached_property
    def numeral(self) -> str | None:
        """The score that a direct answer writes ("3.98"); None where the last answer is no direct one."""
        found = _DIRECT.fullmatch(self.turns[-1][1].strip())
        return next(filter(None, found.groups())) if found else None

    @cached_property
    def stated(self) -> str | None:
        """The score that the last answer states, directly or after a chain of thought."""
        if self.numeral is not None or self.format not in (None, *COT_FORMATS):
            return self.numeral
        found = _COT.findall(self.turns[-1][1])
        return found[-1] if found else None


def read_conversations(files: Sequence[Path]) -> list[Conversation]:
    """All conversations of the files, in order. Raises UsageError for the first thing that is wrong."""
    found: list[Conversation] = []
    for file in files:
        before = len(found)
        found += _read_file(file)
        if len(found) == before:
            raise UsageError("holds no conversations", where=str(file), remedy="check the step that wrote it")
    return found


def _read_file(file: Path) -> Iterator[Conversation]:
    for number, line in sharegpt.read_sharegpt(file):
        try:
            if isinstance(line, RecordError):
                raise line
            yield _conversation(line, file.parent, f"{file}:{number}")
        except RecordError as error:
            where = error.where or f"{file}:{number}"
            raise UsageError(error.what, where=where, remedy=error.remedy or "correct the line") from error


def _conversation(line: Mapping[str, Any], folder: Path, where: str) -> Conversation:
    turns = _turns(line)
    if not turns or turns[-1][0] != "assistant" or not all(text.strip() for _, text in turns):
        raise RecordError("a conversation ends with an answer, and none of its turns is empty")
    images = tuple(_find(name, folder) for name in _image_names(line))
    marks = sum(text.count(MARK) for role, text in turns if role == "user")
    if not images:
        raise RecordError("the conversation has no images", remedy='add them as "images": ["a.jpg"]')
    if marks != len(images):
        raise RecordError(f"the conversation has {len(images)} images but {marks} times {MARK} in its questions")
    first_answer = next(i for i, (role, _) in enumerate(turns) if role == "assistant")
    if any(MARK in text for role, text in turns[first_answer:] if role == "user"):
        raise RecordError(f"{MARK} stands after the first answer", remedy="move all images to the start")
    return Conversation(
        turns,
        images,
        where,
        format=line.get("format") if isinstance(line.get("format"), str) else None,
        mos=_number(line.get("mos"), "mos"),
        mos_range=_range(line, "mos_range"),
        scale=_range(line, "scale"),
    )


def _turns(line: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    listed, role_key, text_key = line.get("messages"), "role", "content"
    if listed is None:
        listed, role_key, text_key = line.get("conversations"), "from", "value"
    if not isinstance(listed, list):
        raise RecordError('the line has neither "messages" nor "conversations"')
    turns = [("system", line["system"])] if isinstance(line.get("system"), str) and line["system"] else []
    for turn in listed:
        if not isinstance(turn, Mapping) or not isinstance(turn.get(text_key), str):
            raise RecordError(f'a turn is no object with "{role_key}" and "{text_key}"')
        if turn.get(role_key) not in _ROLES:
            raise RecordError(f"a turn's {role_key} is {turn.get(role_key)!r}, not one of {', '.join(_ROLES)}")
        turns.append((_ROLES[turn[role_key]], turn[text_key]))
    return tuple(turns)


def _image_names(line: Mapping[str, Any]) -> list[str]:
    if line.get("videos") or line.get("video"):
        raise RecordError("this version does not train on videos", remedy="leave the line out")
    names = line.get("images", line.get("image", []))
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RecordError('"images" is no list of paths')
    return names


def _find(name: str, folder: Path) -> Path:
    for path in (folder / name, Path(name)):
        if path.is_file():
            return path
    if moved := sharegpt.locate_image(name, [folder]):
        return Path(moved)
    raise RecordError(f"there is no image {folder / name}", remedy="correct its path or leave the line out")


def _number(value: Any, name: str) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise RecordError(f"{name} is no number but {value!r}")


def _range(line: Mapping[str, Any], name: str) -> Scale | None:
    value = line.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2 or None in [_number(v, name) for v in value]:
        raise RecordError(f"{name} is no pair of numbers")
    try:
        return Scale.of(value)
    except ValueError as error:
        raise RecordError(f"{name}: {error}") from error
