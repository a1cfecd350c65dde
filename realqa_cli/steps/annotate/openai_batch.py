"""The files of OpenAI's batch API: requests within the service's limits, and their results.

A request's `custom_id` is the ledger's key, made of the photo's bytes, the model, the prompt and the
parameters, so that a result finds its photo even after the photo was renamed. `FILE.images.jsonl`, next to the
requests, lists the photos and the settings. This module sends nothing.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from realqa_cli.backends.server.replies import is_completion, short
from realqa_cli.errors import ItemError, OutputError, RecordError, UsageError
from realqa_cli.io.jsonl import dump_line, read_lines
from realqa_cli.steps.annotate.ledger import LedgerEntry
from realqa_cli.steps.annotate.photos import Request
from realqa_cli.steps.annotate.prices import Prices
from realqa_cli.steps.annotate.settings import AnnotateSettings

MOST_REQUESTS = 50_000
MOST_BYTES = 200_000_000
IMAGES = ".images.jsonl"

# A batch cannot try parameters: reasoning models take no temperature, and newer ones have max_completion_tokens.
_REASONING = re.compile(r"(?:.*/)?(?:o\d|gpt-5)")
_NEWER = re.compile(r"(?:.*/)?(?:o\d|gpt-|chatgpt-)")


def request_line(key: str, model: str, request: Request, settings: AnnotateSettings) -> dict[str, Any]:
    """One line of a file of requests. Raises `MediaError` for a broken photo."""
    body: dict[str, Any] = {"model": model, "messages": request.messages}
    if not _REASONING.match(model):
        body["temperature"] = 0
    limit = "max_completion_tokens" if _NEWER.match(model) else "max_tokens"
    body |= {limit: settings.max_tokens, "response_format": request.response_format}
    return {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}


class RequestFiles:
    """Writes requests to FILE, or to numbered files where one would be too large; a context manager.

    names: of the files, after leaving without an error; until then they have temporary names, so that no part
    of them is sent. Entering raises `OutputError` for an existing file, unless `overwrite`.
    """

    def __init__(
        self,
        file: Path,
        *,
        overwrite: bool = False,
        most_requests: int = MOST_REQUESTS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.file, self.overwrite = file, overwrite
        self.most_requests, self.most_bytes = most_requests, most_bytes
        self.names: list[Path] = []
        self.images = file.with_name(file.name + IMAGES)
        self._parts: list[Path] = []
        self._written = self._bytes = 0
        self._stream: IO[bytes] | None = None
        self._listed: IO[bytes] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        old = [self.file, self.images, *self._numbered()]
        taken = [path for path in old if path.exists()]
        if taken and not self.overwrite:
            remedy = "choose another file, or add --overwrite"
            raise OutputError("the file exists", where=str(taken[0]), remedy=remedy)
        for path in taken:
            path.unlink()
        self._listed = self._stack.enter_context(self._part(self.images).open("wb"))
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        self._stack.close()
        if self._stream is not None:
            self._stream.close()
        if kind is not None:
            for path in (*self._parts, self._part(self.images)):
                path.unlink(missing_ok=True)
            return
        single = len(self._parts) == 1
        self.names = [self.file] if single else [self._name(n + 1) for n in range(len(self._parts))]
        for part, name in zip(self._parts, self.names, strict=True):
            part.replace(name)
        self._part(self.images).replace(self.images)

    def add_request(self, line: Mapping[str, Any]) -> None:
        """Write one request."""
        data = dump_line(line).encode() + b"\n"
        full = self._written == self.most_requests or self._bytes + len(data) > self.most_bytes
        if self._stream is None or full:
            if self._stream is not None:
                self._stream.close()
            self._parts.append(self._part(self._name(len(self._parts) + 1)))
            self._stream = self._parts[-1].open("wb")
            self._written = self._bytes = 0
        self._stream.write(data)
        self._written, self._bytes = self._written + 1, self._bytes + len(data)

    def add_photo(self, image: Mapping[str, Any]) -> None:
        """A photo that a request is about; several may share one."""
        assert self._listed is not None
        self._listed.write(dump_line(image).encode() + b"\n")

    def _name(self, number: int) -> Path:
        return self.file.with_name(f"{self.file.stem}-{number:04d}{self.file.suffix}")

    def _numbered(self) -> list[Path]:
        form = re.compile(rf"{re.escape(self.file.stem)}-\d{{4}}{re.escape(self.file.suffix)}")
        folder = self.file.parent
        return [folder / name for name in sorted(os.listdir(folder)) if form.fullmatch(name)]

    def _part(self, path: Path) -> Path:
        return path.with_name(f".{path.name}.tmp")


@dataclass
class Results:
    """The results of a batch: replies by key, and errors by key."""

    replies: dict[str, LedgerEntry] = field(default_factory=dict)
    failures: dict[str, ItemError] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, prices: Prices) -> Self:
        """From one file, or all in a folder. Raises `UsageError` for a file without results."""
        found = cls()
        files = [path]
        if path.is_dir():
            files = [file for file in sorted(path.glob("*.jsonl")) if not file.name.endswith(IMAGES)]
        for file in files:
            for number, line in read_lines(file):
                if isinstance(line, RecordError) or not found._add(line, prices):
                    what = "not a result of the batch API"
                    remedy = "name the output file or the error file of a batch"
                    raise UsageError(what, where=f"{file}:{number}", remedy=remedy)
        if not found.replies and not found.failures:
            raise UsageError("there are no results", where=str(path), remedy="check that the batch has ended")
        return found

    def _add(self, line: Mapping[str, Any], prices: Prices) -> bool:
        key, response = line.get("custom_id"), line.get("response")
        if not isinstance(key, str) or not ("error" in line or isinstance(response, Mapping)):
            return False
        body = response.get("body") if isinstance(response, Mapping) else None
        status = response.get("status_code") if isinstance(response, Mapping) else None
        if isinstance(body, Mapping) and status in (200, None) and is_completion(body):
            price = prices.of(str(body.get("model")))
            self.replies[key] = LedgerEntry(body, price.reply(body, batch=True) if price else None, batch=True)
        else:
            failure = line.get("error") or (body.get("error") if isinstance(body, Mapping) else None)
            words = failure.get("message") or failure.get("code") if isinstance(failure, Mapping) else failure
            what = f"the batch has no answer ({status or 'error'}: {short(str(words))})"
            self.failures[key] = ItemError(what, type="request")
        return True

    def photo_lists(self, folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
        """The lists in the folder that name photos of these results, each with its first record."""
        keys = self.replies.keys() | self.failures.keys()
        for file in sorted(folder.glob(f"*{IMAGES}")):
            lines = [line for _, line in read_lines(file) if isinstance(line, dict)]
            if lines and any(line.get("custom_id") in keys for line in lines):
                yield file, lines[0]
