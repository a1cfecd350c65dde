"""The chat template of a model folder for the ONNX graphs: rendered by jinja2, or looked up among rendered texts.

`onnx/prompts.json` of the bundled model holds its texts of the usual questions, so that a run that scores photos does
not import jinja2. They apply to every model with the same template; a text is found by a digest of everything that it
was rendered from. Other templates, questions and layouts are rendered. A file of that name in another folder is never
read: the manifest of a run would not show what it changes.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from realqa_cli import models
from realqa_cli.backends.base import UnsupportedModel
from realqa_cli.errors import one_line

RENDERED = "prompts.json"
"""The file of rendered texts, next to the graphs of the bundled model."""


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
        self._rendered = _rendered_texts(self._digest(self._source))
        if not self._rendered:
            self._template  # noqa: B018 - an unsupported template is an error now

    def render(self, messages: list[dict[str, Any]], arguments: Mapping[str, Any]) -> str:
        """The text of the messages up to the answer, with further arguments of the template."""
        values = self._values(messages, arguments)
        known = self._rendered.get(self._digest(values))
        return str(self._template.render(**values)) if known is None else known

    def save(self, rendered: Iterable[tuple[list[dict[str, Any]], Mapping[str, Any]]], file: Path) -> None:
        """Renders messages with their arguments and writes the texts to a file, for the bundled model."""
        values = [self._values(messages, arguments) for messages, arguments in rendered]
        texts = {self._digest(each): str(self._template.render(**each)) for each in values}
        content = {"template": self._digest(self._source), "texts": texts}
        file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def _values(self, messages: list[dict[str, Any]], arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._names, **arguments, "messages": messages, "add_generation_prompt": True}

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


def _rendered_texts(template: str) -> dict[str, str]:
    """The texts of the bundled model by the digests of their values; {} for another template, by its digest."""
    file = models.path(models.BUNDLED[0]) / "onnx" / RENDERED
    content = json.loads(file.read_text(encoding="utf-8"))
    return dict(content["texts"]) if content["template"] == template else {}


def _unsupported(folder: Path, error: Exception) -> UnsupportedModel:
    return UnsupportedModel(f"its chat template is not plain jinja: {one_line(error)}", where=str(folder))
