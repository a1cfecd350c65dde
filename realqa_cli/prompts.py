"""The words: what the models are asked and how their answers begin. One version of each.

Paper Sec. 3.3. Every text about an image becomes one about a video by `about`.
"""

from typing import Literal

Subject = Literal["image", "video"]

DIRECT_QUESTION = "Rate the aesthetics and quality of this image briefly."
"""Q1 of the paper: asks for the score alone."""

DIRECT_PREFIX = "The score of this image is "
"""How R1, the direct answer, begins; the numeral follows."""

DIRECT_END = "."
"""What follows the numeral in R1."""


def about(text: str, subject: Subject) -> str:
    """`text`, written about an image, for `subject` (the paper's Sec. 4.7: the word changes)."""
    return text if subject == "image" else text.replace("image", subject)


def direct_answer(numeral: str, subject: Subject = "image") -> str:
    """The answer R1: "The score of this image is 3.99."."""
    return about(DIRECT_PREFIX, subject) + numeral + DIRECT_END
