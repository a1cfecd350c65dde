"""The questions about attributes that conversations ask, so that labelling can ask what the model was trained on."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from realqa_cli.domain import prompts
from realqa_cli.domain.parsing import read_attributes, topic_of
from realqa_cli.inference.teacher_forcing.conversations import MARK, Conversation

_NAMED = re.compile(r"\s*\([^()]*\)")
"""What a question says in parentheses, such as the photo's subject."""


def attribute_questions(conversations: Sequence[Conversation]) -> dict[str, str]:
    """The question for each topic (`parsing.topic_of`) of the answers without a score; {} without such answers.

    Where questions differ between photos only in parentheses, it is the question without them; otherwise the most
    frequent one.
    """
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for conversation in conversations:
        if conversation.stated is None:
            for question, answer in _exchanges(conversation):
                if (topic := topic_of(read_attributes(answer))) is not None:
                    found[topic][question] += 1
    return {topic: _common(questions) for topic, questions in sorted(found.items())}


def slots_described(conversations: Sequence[Conversation]) -> tuple[str, ...] | None:
    """The slots in the answers about single attributes or levels, in the default order; None without any."""
    answers = (answer for one in conversations if one.stated is None for _, answer in _exchanges(one))
    keys = {key for answer in answers for key in prompts.read_form(answer)[0]}
    return prompts.arrange(keys) or None


def _exchanges(conversation: Conversation) -> Iterator[tuple[str, str]]:
    """(question, answer) of each answer, without the place of the photo."""
    for (role, question), (_, answer) in pairwise(conversation.turns):
        if role == "user":
            yield question.replace(MARK, "").strip(), answer


def _common(questions: Counter[str]) -> str:
    if len(questions) > 1:
        general = {_NAMED.sub("", question) for question in questions}
        if len(general) == 1:
            return general.pop()
    return questions.most_common(1)[0][0]
