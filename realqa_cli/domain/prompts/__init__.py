"""Every prompt of the program, and the texts of the answers: one version of each.

`conversations`: the questions and answers that models are trained on.  `forms`: the regular form, as fixed texts
and slots.  `annotation`: the prompt of models that label photos.  `text_tasks`: rewording and sorting.  `pairs`: the
question about two photos.  `chat`: how a question is laid out as a chat.
"""

from realqa_cli.domain.prompts.annotation import (
    SCREEN,
    TEXT_PARTS,
    annotation_prompt_hash,
    annotation_question,
    repair_request,
    response_format,
)
from realqa_cli.domain.prompts.chat import PLAIN_CHAT, ChatLayout, ScoreQuestion
from realqa_cli.domain.prompts.conversations import (
    COT_QUESTION,
    COT_REGULAR_QUESTION,
    DIRECT_END,
    DIRECT_PREFIX,
    DIRECT_QUESTION,
    FINAL_END,
    FINAL_PREFIX,
    LEVEL_END,
    LEVEL_PREFIX,
    MIX_QUESTION,
    REGULAR_END,
    REGULAR_JOINT,
    Subject,
    about,
    attribute_question,
    direct_answer,
    final_sentence,
    level_answer,
    level_question,
)
from realqa_cli.domain.prompts.forms import (
    SLOTS,
    Order,
    Slot,
    arrange,
    fill,
    free_text,
    read_form,
    regular_form,
    slot_texts,
)
from realqa_cli.domain.prompts.pairs import PAIR_CHOICES, PAIR_QUESTION
from realqa_cli.domain.prompts.text_tasks import rewrite_question, sort_question

__all__ = [
    "COT_QUESTION",
    "COT_REGULAR_QUESTION",
    "DIRECT_END",
    "DIRECT_PREFIX",
    "DIRECT_QUESTION",
    "FINAL_END",
    "FINAL_PREFIX",
    "LEVEL_END",
    "LEVEL_PREFIX",
    "MIX_QUESTION",
    "PAIR_CHOICES",
    "PAIR_QUESTION",
    "PLAIN_CHAT",
    "REGULAR_END",
    "REGULAR_JOINT",
    "SCREEN",
    "SLOTS",
    "TEXT_PARTS",
    "ChatLayout",
    "Order",
    "ScoreQuestion",
    "Slot",
    "Subject",
    "about",
    "annotation_prompt_hash",
    "annotation_question",
    "arrange",
    "attribute_question",
    "direct_answer",
    "fill",
    "final_sentence",
    "free_text",
    "level_answer",
    "level_question",
    "read_form",
    "regular_form",
    "repair_request",
    "response_format",
    "rewrite_question",
    "slot_texts",
    "sort_question",
]
