"""How a question about photos is laid out as a chat, before a model's own chat template renders it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ChatLayout:
    """The parts of a chat other than the question.

    system: the system message; "" for none, so that the template may add its own.
    photo_last: whether the photos come after the text of the question instead of before it.
    template: further arguments of the chat template, such as `{"add_vision_id": True}`.
    """

    system: str = ""
    photo_last: bool = False
    template: Mapping[str, Any] = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """For the manifest: what differs from the defaults."""
        plain = {"system": self.system, "photo_last": self.photo_last, "template": dict(self.template)}
        return {name: value for name, value in plain.items() if value}


PLAIN_CHAT = ChatLayout()
"""The photos, then the question, without a system message."""


@dataclass(frozen=True)
class ScoreQuestion:
    """A question whose answer is a score.

    text: the question.  prefix: the start of the answer, up to the word or numeral.  end: the text after it.
    All are written for an image; `prompts.about` makes them about a video.
    """

    text: str
    prefix: str
    end: str
