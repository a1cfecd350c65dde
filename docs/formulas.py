"""MkDocs hook: turns TeX formulas into MathML when the site is built, so that pages need no script and no network.

A formula is a fenced block with the language `math`, or $`...`$ within a line; code hosts render both, too.
"""

import re
from typing import Any

from latex2mathml.converter import convert
from markdown import Extension, Markdown
from markdown.inlinepatterns import InlineProcessor
from markdown.preprocessors import Preprocessor

BLOCK = re.compile(r"^```math\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
INLINE = r"\$`([^`]+)`\$"


class BlockFormulas(Preprocessor):  # type: ignore[misc]  # carries no types
    """Replaces fenced formulas before other extensions see the fences."""

    def run(self, lines: list[str]) -> list[str]:
        """The lines with placeholders for the formulas."""
        return BLOCK.sub(self._stash, "\n".join(lines)).split("\n")

    def _stash(self, match: re.Match[str]) -> str:
        mathml = convert(" ".join(match[1].split()), display="block")
        return f"\n{self.md.htmlStash.store(f'<div>{mathml}</div>')}\n"


class InlineFormulas(InlineProcessor):  # type: ignore[misc]  # carries no types
    """Replaces formulas within a line."""

    def handleMatch(self, m: re.Match[str], data: str) -> tuple[str, int, int]:
        """The placeholder, and the part of the text that it replaces."""
        return self.md.htmlStash.store(convert(m[1])), m.start(0), m.end(0)


class Formulas(Extension):  # type: ignore[misc]  # carries no types
    """The Markdown extension."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Registers both processors: fences before superfences, inline ones before code spans."""
        md.preprocessors.register(BlockFormulas(md), "block_formulas", 100)
        md.inlinePatterns.register(InlineFormulas(INLINE, md), "inline_formulas", 200)


def on_config(config: Any) -> Any:
    """Adds the extension."""
    config["markdown_extensions"].append(Formulas())
    return config
