"""The objective `levels`: next-token prediction of a word instead of a number (Q-Align; paper Tab. 10).

Direct answers become "The quality of this image is good."; the question does not change.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from realqa_cli.domain import levels, prompts
from realqa_cli.domain.scales import Scale
from realqa_cli.inference.teacher_forcing.collator import label_on_scale
from realqa_cli.inference.teacher_forcing.conversations import Conversation
from realqa_cli.steps.train.objectives.next_token import NextTokenObjective
from realqa_cli.steps.train.objectives.objective import ObjectiveSetup

log = logging.getLogger("realqa")


class LevelsObjective(NextTokenObjective):
    """Implements `Objective` for levels. Their bounds are those of the first conversations given to `check`."""

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
        self.bounds: Scale | None = None

    def check(self, conversations: Sequence[Conversation]) -> list[int]:
        """See `Objective`."""
        if self.bounds is None:
            self.bounds = self._bounds_of(conversations)
            self.config_fields = {**self.config_fields, "level_bounds": list(self.bounds)}
        return super().check([with_level(each, self.scale, self.bounds) for each in conversations])

    def _bounds_of(self, conversations: Sequence[Conversation]) -> Scale:
        scores = [label_on_scale(each, each.numeral, self.scale) for each in conversations if each.numeral is not None]
        try:
            return levels.bounds_of(scores)
        except ValueError:
            log.warning(
                "all labels are %g: the levels divide the whole scale %s instead of their range", scores[0], self.scale
            )
            return self.scale

    def collate(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """See `Objective`."""
        bounds = self.bounds or self.scale
        return super().collate([with_level(each, self.scale, bounds) for each in conversations])


def with_level(conversation: Conversation, scale: Scale, bounds: Scale) -> Conversation:
    """The direct answer with the level of its label instead of its number; an exact label takes precedence."""
    answer, numeral = conversation.turns[-1][1].strip(), conversation.numeral
    assert numeral is not None, "conversations_for selects direct answers only"
    video = answer.startswith(prompts.about(prompts.DIRECT_PREFIX, "video"))
    word = levels.word_of(label_on_scale(conversation, numeral, scale), bounds)
    text = prompts.level_answer(word, "video" if video else "image")
    return replace(conversation, turns=(*conversation.turns[:-1], ("assistant", text)))
