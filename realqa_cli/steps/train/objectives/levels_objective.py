"""The objective `levels`: next-token prediction of a word instead of a number (Q-Align; paper Tab. 10).

Direct answers become "The quality of this image is good."; the question does not change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from realqa_cli.domain import levels, prompts
from realqa_cli.domain.scales import Scale
from realqa_cli.inference.teacher_forcing.collator import label_on_scale
from realqa_cli.inference.teacher_forcing.conversations import Conversation
from realqa_cli.steps.train.objectives.next_token import NextTokenObjective
from realqa_cli.steps.train.objectives.objective import ObjectiveSetup


class LevelsObjective(NextTokenObjective):
    """Implements `Objective` for levels."""

    config_fields: Mapping[str, Any] = {
        "prompts": {
            "question": prompts.DIRECT_QUESTION,
            "prefix": prompts.LEVEL_PREFIX,
            "end": prompts.LEVEL_END,
        }
    }

    def __init__(self, setup: ObjectiveSetup) -> None:
        super().__init__(setup)
        self.scale = setup.spec.scale

    def check(self, conversations: Sequence[Conversation]) -> list[int]:
        """See `Objective`."""
        return super().check([with_level(conversation, self.scale) for conversation in conversations])

    def collate(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """See `Objective`."""
        return super().collate([with_level(conversation, self.scale) for conversation in conversations])


def with_level(conversation: Conversation, scale: Scale) -> Conversation:
    """The direct answer with the level of its label instead of its number; an exact label takes precedence."""
    answer, numeral = conversation.turns[-1][1].strip(), conversation.numeral
    assert numeral is not None, "conversations_for selects direct answers only"
    video = answer.startswith(prompts.about(prompts.DIRECT_PREFIX, "video"))
    word = levels.word_of(label_on_scale(conversation, numeral, scale), scale)
    text = prompts.level_answer(word, "video" if video else "image")
    return replace(conversation, turns=(*conversation.turns[:-1], ("assistant", text)))
