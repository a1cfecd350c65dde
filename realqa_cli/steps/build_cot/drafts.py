"""A conversation as `build-cot` composed it, with what a rewording of its prose would have to keep."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from realqa_cli.domain.prompts import Subject


@dataclass(frozen=True)
class Prose:
    """A chain of thought in natural language: the texts of its slots by key, and its score's numeral."""

    texts: Mapping[str, str]
    numeral: str
    subject: Subject


@dataclass(frozen=True)
class Draft:
    """A line of the output.  prose: only of the format "cot", whose wording is free."""

    line: dict[str, Any]
    prose: Prose | None = None
