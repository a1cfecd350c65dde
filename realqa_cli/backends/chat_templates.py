"""Chat templates: their message format, and the marks of photos and videos in conversations."""

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from realqa_cli.backends.time_limit import time_limit
from realqa_cli.domain.prompts import ChatLayout
from realqa_cli.errors import ModelError, one_line
from realqa_cli.models import ModelSource

log = logging.getLogger("realqa")

IMAGE_MARK = "<image>"
"""The placeholder of a photo in the text of a turn, as in sharegpt conversations."""

VIDEO_MARK = "<video>"
"""The placeholder of a video."""

TEMPLATE_SECONDS = 10.0
"""Longest time that rendering may take; a template comes with the model and can loop for ever."""

_MARKS = re.compile(f"\n?({IMAGE_MARK}|{VIDEO_MARK})\n?")


Render = Callable[[list[dict[str, Any]], Mapping[str, Any]], str]
"""`render(messages, arguments)`: the text of the chat template up to the answer."""


def render_question(render: Render, question: str, images: int, videos: int, layout: ChatLayout) -> str:
    """The rendered question about photos, then videos, in the layout.

    Raises ModelError if the chat template drops the system message; warns if it has none of the arguments.
    """
    shown: list[dict[str, Any]] = [{"type": "image"}] * images + [{"type": "video"}] * videos
    parts = [_text(question), *shown] if layout.photo_last else [*shown, _text(question)]
    messages = [_message("system", [_text(layout.system)])] if layout.system else []
    messages.append(_message("user", parts))
    text = render(messages, layout.template)
    if layout.system and layout.system.strip() not in text:
        what = "the model's chat template drops the system message of the preset"
        raise ModelError(what, remedy="use a preset without one, or another model")
    if layout.template and text == render(messages, {}):
        _warn_once(", ".join(layout.template))
    return text


def _warn_once(names: str) -> None:
    if names not in _WARNED:
        _WARNED.add(names)
        log.warning("the model's chat template has no %s, which the preset sets", names)


_WARNED: set[str] = set()  # template arguments that were reported in this process


def turn(role: str, text: str) -> dict[str, Any]:
    """A turn in the format of chat templates; line breaks next to a mark are dropped."""
    if role != "user":
        return _message(role, [_text(text)])
    parts = _MARKS.split(text)
    return _message(role, [_part(part) for part in parts if part])


def templated(holder: Any, messages: list[dict[str, Any]], answer_next: bool, **arguments: Any) -> str:
    """The text that the chat template of a tokenizer or processor renders, with further arguments of it."""
    from jinja2 import TemplateError

    try:
        with time_limit(TEMPLATE_SECONDS):
            return str(
                holder.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer_next, **arguments)
            )
    except TimeoutError as error:
        what = f"the model's chat template did not end within {TEMPLATE_SECONDS:g} s"
        raise ModelError(what, remedy="check chat_template.jinja in the model's folder") from error
    except (TemplateError, TypeError, ArithmeticError, MemoryError, RecursionError, LookupError) as error:
        what = f"the model's chat template fails: {one_line(error, 200)}"
        raise ModelError(what, remedy="check chat_template.jinja in the model's folder") from error


def require_template(holder: Any, source: ModelSource) -> None:
    """Raises ModelError if the tokenizer or processor has no chat template."""
    if not getattr(holder, "chat_template", None):
        raise ModelError(
            "has no chat template",
            where=str(source.base),
            remedy="use the instruction-tuned version of the model",
        )


def _part(part: str) -> dict[str, Any]:
    return {"type": part.strip("<>")} if part in (IMAGE_MARK, VIDEO_MARK) else _text(part)


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _message(role: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": role, "content": content}
