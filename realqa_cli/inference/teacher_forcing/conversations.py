"""Reads training conversations: sharegpt JSON Lines as written by `realqa build-cot`, checked line by line.

A single JSON list, the form of other releases, is read as well; its items are numbered as lines. Both common
dialects are accepted: `messages` of `role` and `content`, and `conversations` of `from` and `value`.

Image paths are relative to the file's folder or, if the file is not there, to the current folder. Reading
does not open photos. Every defect of a line raises `UsageError` with file and line: training must never silently use
only a part of the data.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL.Image import Image

from realqa_cli.domain import prompts
from realqa_cli.domain.scales import Scale
from realqa_cli.domain.wording import plural
from realqa_cli.errors import RecordError, UsageError
from realqa_cli.io import sharegpt
from realqa_cli.media.decode import DEFAULT_DECODING, DecodeOptions
from realqa_cli.media.photo import open_photo

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
    """One line of a file of conversations.

    turns: (role, text) in order, the last by the assistant; `MARK` in a user's text is the place of a photo.
    images: the photos in order.  where: "file:line".  format: of `build-cot --formats`.
    mos, mos_range: the label and its range, if the line has them.  scale: of the number in the answer.
    padding: whether it only fills up a batch, so that nothing of it is trained.
    decode: how the photos are decoded.
    """

    turns: tuple[tuple[str, str], ...]
    images: tuple[Path, ...]
    where: str
    format: str | None = None
    mos: float | None = None
    mos_range: Scale | None = None
    scale: Scale | None = None
    padding: bool = False
    decode: DecodeOptions = DEFAULT_DECODING

    def open_photos(self) -> list[Image]:
        """The decoded photos, in order. Raises `MediaError`."""
        return [open_photo(path, options=self.decode) for path in self.images]

    @cached_property
    def numeral(self) -> str | None:
        """The score in a direct answer ("3.98"); None if the last answer is of another format."""
        match = _DIRECT.fullmatch(self.turns[-1][1].strip())
        return next(filter(None, match.groups())) if match else None

    @cached_property
    def stated(self) -> str | None:
        """The score that the last answer states, in a direct answer or after a chain of thought."""
        if self.numeral is not None or self.format not in (None, *COT_FORMATS):
            return self.numeral
        numbers = _COT.findall(self.turns[-1][1])
        return numbers[-1] if numbers else None


def read_conversations(files: Sequence[Path]) -> list[Conversation]:
    """All conversations of the files, in order. Raises UsageError for the first defect."""
    conversations: list[Conversation] = []
    for file in files:
        before = len(conversations)
        conversations += _read_file(file)
        if len(conversations) == before:
            raise UsageError("the file has no conversations", where=str(file), remedy="build it by realqa build-cot")
    return conversations


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
        raise RecordError("a conversation must end with an answer, and no turn may be empty")
    images = tuple(_find(name, folder) for name in _image_names(line))
    marks = sum(text.count(MARK) for role, text in turns if role == "user")
    if not images:
        raise RecordError("the conversation has no images", remedy='add them as "images": ["a.jpg"]')
    if marks != len(images):
        counts = f"{plural(len(images), 'image')} but {MARK} {plural(marks, 'time')}"
        raise RecordError(f"the conversation has {counts} in its questions")
    first_answer = next(i for i, (role, _) in enumerate(turns) if role == "assistant")
    if any(MARK in text for role, text in turns[first_answer:] if role == "user"):
        raise RecordError(f"{MARK} occurs after the first answer", remedy="move all images to the start")
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
            raise RecordError(f'a turn is not an object with "{role_key}" and "{text_key}"')
        if turn.get(role_key) not in _ROLES:
            raise RecordError(f"a turn's {role_key} is {turn.get(role_key)!r}, not one of {', '.join(_ROLES)}")
        turns.append((_ROLES[turn[role_key]], turn[text_key]))
    return tuple(turns)


def _image_names(line: Mapping[str, Any]) -> list[str]:
    if line.get("videos") or line.get("video"):
        raise RecordError("training on videos is not supported", remedy="leave the line out")
    names = line.get("images", line.get("image", []))
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RecordError('"images" is not a list of paths')
    return names


def _find(name: str, folder: Path) -> Path:
    for path in (folder / name, Path(name)):
        if path.is_file():
            return path
    if located := sharegpt.locate_image(name, [folder]):
        return Path(located)
    raise RecordError(f"image not found: {folder / name}", remedy="correct its path or leave the line out")


def _number(value: Any, name: str) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise RecordError(f"{name} is not a number but {value!r}")


def _range(line: Mapping[str, Any], name: str) -> Scale | None:
    value = line.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2 or None in [_number(v, name) for v in value]:
        raise RecordError(f"{name} is not a pair of numbers")
    try:
        return Scale.of(value)
    except ValueError as error:
        raise RecordError(f"{name}: {error}") from error
