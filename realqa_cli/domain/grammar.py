"""The valid answers as regular expressions, for servers that constrain a model to one.

Only syntax that all dialects of regular expressions share is used.
"""

import re
from collections.abc import Iterable, Sequence

from realqa_cli.domain.prompts import Slot


def one_of(texts: Iterable[str]) -> str:
    """A regular expression that matches any of the texts."""
    return f"({'|'.join(map(_plain, texts))})"


def form_pattern(form: Sequence[str | Slot]) -> str:
    """A regular expression that matches every answer in the form; free text is as `free_text` returns it."""
    return "".join(
        _plain(part) if isinstance(part, str) else "[^<>\\n]{1,400}" if part.free else one_of(part.options)
        for part in form
    )


def _plain(text: str) -> str:
    """The text with the special characters of regular expressions escaped, and no others."""
    return re.sub(r"([\\.^$*+?{}\[\]|()])", r"\\\1", text)
