"""The question about two photos, for models that see both of them at the same time."""

from realqa_cli.domain.prompts.chat import ScoreQuestion

PAIR_QUESTION = ScoreQuestion(
    "Which of these two images has the better quality, the first image or the second image?",
    "The image with the better quality is the ",
    " image.",
)
"""The question, the start of the answer, and the text after the choice."""

PAIR_CHOICES = ("first", "second")
"""The answers: the image that is shown first, and the one that is shown second."""
