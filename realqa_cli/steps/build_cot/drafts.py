"""A conversation as `build-cot` composed it, with the values that a rewording of its prose must keep."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from realqa_cli.domain.prompts import Subject


@dataclass(frozen=True)
class Prose:
    """A chain of thought in natural language: the texts of its slots by key, and the numeral of its score."""

    texts: Mapping[str, str]
    numeral: str
    subject: Subject


@dataclass(frozen=True)
class Draft:
    """A line of the output.  prose: for the format "cot", whose wording is free, else None."""

    line: dict[str, Any]
    prose: Prose | None = None
