"""The questions and answers that models are trained on (paper Sec. 3.3 and App. B.3).

Where the paper shows its texts as pictures only, the texts are ours. Pure: no model, no file.
"""

from collections.abc import Mapping
from typing import Literal

from realqa_cli.domain.attributes import Attribute, Level

Subject = Literal["image", "video"]

DIRECT_QUESTION = "Rate the aesthetics and quality of this image briefly."
"""Q1 of the paper: the score alone."""

DIRECT_PREFIX = "The score of this image is "
"""The start of R1, the direct answer, up to the numeral."""

DIRECT_END = "."
"""The end of R1, after the numeral."""

LEVEL_PREFIX = "The quality of this image is "
"""The start of the answer to Q1 for models that answer in levels (`domain.levels`), up to the word."""

LEVEL_END = "."
"""The end of an answer in levels, after the word."""

COT_QUESTION = "Rate the aesthetics and quality of this image step by step."
"""Q2: a chain of thought in natural language."""

COT_REGULAR_QUESTION = "Rate the aesthetics and quality of this image step by step with the regular form."
"""Q3: a chain of thought in the regular form."""

FINAL_PREFIX = "The final score is <"
"""The start of the last sentence of both chains of thought, up to the numeral."""

FINAL_END = ">."
"""The end of a chain of thought, after the numeral."""

REGULAR_END = "."
"""The end of an answer that consists of the regular form alone (stage 1)."""

REGULAR_JOINT = "\n"
"""The separator of the regular form and the final sentence (stage 2)."""

MIX_QUESTION = "Describe all attributes of this image with the regular form."
"""Stage 1, granularity "mix": all attributes in one conversation."""


def about(text: str, subject: Subject) -> str:
    """`text`, which is written for an image, for `subject`: "image" becomes "video" (paper Sec. 4.7)."""
    return text if subject == "image" else text.replace("image", subject)


def direct_answer(numeral: str, subject: Subject = "image") -> str:
    """The answer R1: "The score of this image is 3.99."."""
    return about(DIRECT_PREFIX, subject) + numeral + DIRECT_END


def level_answer(word: str, subject: Subject = "image") -> str:
    """The answer in levels: "The quality of this image is good."."""
    return about(LEVEL_PREFIX, subject) + word + LEVEL_END


def final_sentence(numeral: str) -> str:
    """The end of R2 and R3: "The final score is <3.99>."."""
    return FINAL_PREFIX + numeral + FINAL_END


def level_question(level: Level) -> str:
    """Stage 1, granularity "levels": one level in a conversation."""
    return f"Describe the {level}-level attributes of this image with the regular form."


_OPEN_QUESTIONS: dict[str, str] = {
    "composition": "How good is the composition of this image? Rate it from 1 to 10.",
    "eye_catching": "How eye-catching is this image? Rate it from 1 to 10.",
    "subject_background": "What are the subject and the background of this image?",
    "level_shot": "Is this image level? Answer yes or no.",
}
_CHOICE_QUESTIONS: dict[str, str] = {
    "subject_integrity": "How complete is the subject of this image{subject}",
    "subject_clutter": "How cluttered is the subject of this image{subject}",
    "background_clutter": "How cluttered is the background of this image{background}",
    "image_clarity": "How clear is this image",
    "exposure": "How is this image exposed",
    "saturation": "How saturated are the colors of this image",
}
"""Without the options, which follow a colon. `{subject}` and `{background}` are the photo's own, where known."""


def attribute_question(attribute: Attribute, texts: Mapping[str, str] | None = None, subject: Subject = "image") -> str:
    """Stage 1, granularity "attributes": one attribute in a conversation.

    texts: of the slots of a label. Where they have the photo's subject or background, the questions about the
    subject's integrity and clutter and about the background's clutter name it.
    """
    if attribute.key in _OPEN_QUESTIONS:
        return about(_OPEN_QUESTIONS[attribute.key], subject)
    named = {}
    for part in ("subject", "background"):
        text = (texts or {}).get(f"subject_background.{part}")
        named[part] = f" ({text})" if text else ""
    options = [attribute.phrase(option) for option in attribute.options]
    question = about(_CHOICE_QUESTIONS[attribute.key], subject).format(**named)
    return f"{question}: {', '.join(options[:-1])} or {options[-1]}?"
