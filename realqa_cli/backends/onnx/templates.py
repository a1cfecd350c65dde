"""The chat template of a model folder for the ONNX graphs: rendered by jinja2, or looked up among rendered texts.

`onnx/prompts.json` holds the texts of the usual questions, so that a run that scores photos does not import jinja2.
A text is found by a digest of the template and everything that it was rendered from: another template, question or
layout is rendered as ever.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from realqa_cli.backends.base import UnsupportedModel
from realqa_cli.errors import one_line

RENDERED = "prompts.json"
"""The file of rendered texts, next to the graphs."""


class ChatTemplate:
    """The chat template of one model folder with the special tokens that it may use."""

    def __init__(self, folder: Path) -> None:
        """Raises UnsupportedModel if the template is missing, or no plain jinja."""
        self._folder = folder
        try:
            settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
            file = folder / "chat_template.jinja"
            self._source: str = file.read_text(encoding="utf-8") if file.is_file() else settings["chat_template"]
            names = {name: value for name, value in settings.items() if name.endswith("_token")}
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise _unsupported(folder, error) from error
        self._names = {name: value for name, value in names.items() if isinstance(value, str)}
        self._rendered = _read(folder, self._digest(self._source))
        if not self._rendered:
            self._template  # noqa: B018 - an unsupported template is an error now

    def render(self, messages: list[dict[str, Any]], arguments: Mapping[str, Any]) -> str:
        """The text of the messages up to the answer, with further arguments of the template."""
        values = {**self._names, **arguments, "messages": messages, "add_generation_prompt": True}
        known = self._rendered.get(self._digest(values))
        return str(self._template.render(**values)) if known is None else known

    def save(self, rendered: Iterable[tuple[list[dict[str, Any]], Mapping[str, Any]]]) -> None:
        """Renders messages with their arguments and writes `onnx/prompts.json`."""
        self._rendered = {}
        texts = {}
        for messages, arguments in rendered:
            values = {**self._names, **arguments, "messages": messages, "add_generation_prompt": True}
            texts[self._digest(values)] = self.render(messages, arguments)
        content = {"template": self._digest(self._source), "texts": texts}
        (self._folder / "onnx" / RENDERED).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @cached_property
    def _template(self) -> Any:
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        # The options of transformers; templates that use its extensions of jinja are not supported.
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        try:
            return environment.from_string(self._source)
        except (TypeError, TemplateError) as error:
            raise _unsupported(self._folder, error) from error

    @staticmethod
    def _digest(values: Any) -> str:
        return sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _read(folder: Path, template: str) -> dict[str, str]:
    """The rendered texts by the digests of their values; {} without a file that belongs to this template."""
    try:
        content = json.loads((folder / "onnx" / RENDERED).read_text(encoding="utf-8"))
        return dict(content["texts"]) if content["template"] == template else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _unsupported(folder: Path, error: Exception) -> UnsupportedModel:
    return UnsupportedModel(f"its chat template is not plain jinja: {one_line(error)}", where=str(folder))
