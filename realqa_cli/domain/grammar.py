"""The answers that can be read, as regular expressions: for servers that hold a model to one.

Only what all dialects of regular expressions share is used. Pure vocabulary, as `prompts`.
"""

import re
from collections.abc import Iterable, Sequence

from realqa_cli.domain.prompts import Slot


def one_of(texts: Iterable[str]) -> str:
    """A regular expression of any of the texts, in the part of the language that all dialects share."""
    return f"({'|'.join(map(_plain, texts))})"


def form_pattern(form: Sequence[str | Slot]) -> str:
    """A regular expression of every answer of the form; free text is what `free_text` leaves of one."""
    return "".join(
        _plain(part) if isinstance(part, str) else "[^<>\\n]{1,400}" if part.free else one_of(part.options)
        for part in form
    )


def _plain(text: str) -> str:
    """The text with what has a meaning in regular expressions escaped, and nothing else."""
    return re.sub(r"([\\.^$*+?{}\[\]|()])", r"\\\1", text)
