"""What models cost, in US dollars per million tokens: a built-in table, which a user's file overrides.

The table has list prices as they were known when it was written. Prices change, so the file of `--prices`
overrides them: {"my-model": {"input": 0.8, "output": 3.2}}.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, sqrt
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, TypeAdapter, ValidationError

from realqa_cli.errors import UsageError

BATCH = 0.5  # the price of the batch API relative to the usual one
_MILLION = 1_000_000


class ImageTokens(BaseModel):
    """How many tokens a photo is charged as.

    tiles: `base` plus `each` per tile of 512 x 512 pixels, after resizing to at most 2048 x 2048 with a short
    side of at most 768.  patches: `base` plus `each` per square of `side` pixels, of at most `most` squares.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Literal["tiles", "patches"] = "patches"
    base: NonNegativeFloat = 0
    each: NonNegativeFloat = 1
    side: int = 28
    most: int = 16_384

    def of(self, width: int, height: int) -> int:
        """Tokens of a photo of this size, in pixels."""
        if self.by == "patches":
            patches = ceil(width / self.side) * ceil(height / self.side)
            return ceil(self.base + min(patches, self.most) * self.each)
        shrink = min(1.0, 2048 / max(width, height))
        shrink = min(shrink, 768 / min(width, height))
        tiles = ceil(width * shrink / 512) * ceil(height * shrink / 512)
        return ceil(self.base + tiles * self.each)


class Price(BaseModel):
    """US dollars per million tokens. cached: for input that the service has cached; None is `input`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: NonNegativeFloat
    output: NonNegativeFloat
    cached: NonNegativeFloat | None = None
    image: ImageTokens | None = None

    def tokens(self, given: int, written: int) -> float:
        """The cost of these numbers of input and output tokens, in US dollars."""
        return (given * self.input + written * self.output) / _MILLION

    def reply(self, reply: Mapping[str, Any], *, batch: bool = False) -> float | None:
        """The cost of a reply by its `usage`, in US dollars; None without one."""
        found = read_usage(reply.get("usage"))
        if found is None:
            return None
        cached = 0 if self.cached is None else found.cached
        saved = cached * (self.input - (self.cached or 0)) / _MILLION
        return (self.tokens(found.given, found.written) - saved) * (BATCH if batch else 1.0)


@dataclass(frozen=True)
class Usage:
    """Tokens that a reply was charged for: of the prompt, of which some are cached, and of the answer."""

    given: int
    written: int
    cached: int = 0


def read_usage(usage: object) -> Usage | None:
    """A reply's `usage`; None where it is missing or invalid."""
    match usage:
        case {"prompt_tokens": int(given), "completion_tokens": int(written)} if min(given, written) >= 0:
            pass
        case _:
            return None
    match usage:
        case {"prompt_tokens_details": {"cached_tokens": int(cached)}}:
            return Usage(given, written, min(max(cached, 0), given))
    return Usage(given, written)


def _tiles(base: float, each: float) -> dict[str, Any]:
    return {"by": "tiles", "base": base, "each": each}


def _patches(each: float) -> dict[str, Any]:
    return {"by": "patches", "each": each, "side": 32, "most": 1536}


_QWEN = {"by": "patches", "base": 2, "each": 1, "side": 28, "most": 16_384}

PRICE_TABLE: dict[str, dict[str, Any]] = {
    "gpt-4o": {"input": 2.5, "cached": 1.25, "output": 10, "image": _tiles(85, 170)},
    "gpt-4o-2024-05-13": {"input": 5, "output": 15, "image": _tiles(85, 170)},
    "gpt-4o-mini": {"input": 0.15, "cached": 0.075, "output": 0.6, "image": _tiles(2833, 5667)},
    "gpt-4-turbo": {"input": 10, "output": 30, "image": _tiles(85, 170)},
    "gpt-4.1": {"input": 2, "cached": 0.5, "output": 8, "image": _tiles(85, 170)},
    "gpt-4.1-mini": {"input": 0.4, "cached": 0.1, "output": 1.6, "image": _patches(1.62)},
    "gpt-4.1-nano": {"input": 0.1, "cached": 0.025, "output": 0.4, "image": _patches(2.46)},
    "gpt-5": {"input": 1.25, "cached": 0.125, "output": 10, "image": _tiles(70, 140)},
    "gpt-5-mini": {"input": 0.25, "cached": 0.025, "output": 2, "image": _patches(1.62)},
    "gpt-5-nano": {"input": 0.05, "cached": 0.005, "output": 0.4, "image": _patches(2.46)},
    "o3": {"input": 2, "cached": 0.5, "output": 8, "image": _tiles(75, 150)},
    "o4-mini": {"input": 1.1, "cached": 0.275, "output": 4.4, "image": _patches(1.72)},
    "qwen-vl-max": {"input": 0.8, "output": 3.2, "image": _QWEN},
    "qwen-vl-plus": {"input": 0.21, "output": 0.63, "image": _QWEN},
}
"""List prices. A name that ends in a date and is not listed has the price of the name without the date."""

_DATE = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|latest)$")


@dataclass(frozen=True)
class Prices:
    """Prices by model."""

    table: Mapping[str, Price] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path | None = None) -> "Prices":
        """The built-in table, overridden by a user's file. Raises `UsageError` for an invalid file."""
        kind = TypeAdapter(dict[str, Price])
        table = kind.validate_python(PRICE_TABLE)
        if file is None:
            return cls(table)
        try:
            return cls(table | kind.validate_python(json.loads(file.read_text(encoding="utf-8"))))
        except ValidationError as error:
            flaw = error.errors(include_url=False)[0]
            what = f"{'.'.join(map(str, flaw['loc']))}: {flaw['msg']}"
        except (OSError, ValueError) as error:
            what = str(getattr(error, "strerror", None) or error)
        remedy = 'write it like {"my-model": {"input": 0.8, "output": 3.2}}, dollars per million tokens'
        raise UsageError(f"not a table of prices ({what})", where=str(file), remedy=remedy)

    def of(self, model: str) -> Price | None:
        """The model's price; None where it is unknown."""
        return self.table.get(model) or self.table.get(_DATE.sub("", model))


def shape(area: int) -> tuple[int, int]:
    """Width and height, 4 to 3, of a photo whose area is known."""
    width = max(1, round(sqrt(area * 4 / 3)))
    return width, max(1, round(area / width))
