"""The occlusion map: how much the score depends on each part of the photo.

The visual tokens are divided into groups, rectangles of the photo. One group at a time is hidden from the
attention of the language model, which otherwise sees the same tokens at the same positions. The difference to the
score with all tokens is what the group contributes. The vision tower sees the whole photo, so a token knows of its
surroundings: the map shows where the model finds what moves the score, at the size of a group.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL.Image import Image

from realqa_cli.backends.base import Backend, Prompt
from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import Floats, ScoreDistribution

GROUPS = 80
"""About as many groups a photo is divided into."""


@dataclass(frozen=True)
class OcclusionMap:
    """contributions_R_C: by how much the score is higher with the group than without it, in points.

    rows, columns: the edges of the groups, as shares of the photo's height and width, 0 to 1.
    tokens: (rows, columns) of the visual tokens.  distribution: of the score with all tokens.
    """

    contributions_R_C: Floats
    rows: Sequence[float]
    columns: Sequence[float]
    tokens: tuple[int, int]
    distribution: ScoreDistribution


def occlusion_map(backend: Backend, photo: Image, numerals: Sequence[str], groups: int = GROUPS) -> OcclusionMap:
    """Hides one group after the other. Deterministic. Raises ModelError if the backend cannot hide tokens."""
    height, width = backend.visual_grid(photo)
    side = max(1.0, (height * width / groups) ** 0.5)
    tops, lefts = _edges(height, side), _edges(width, side)
    grid = np.arange(height * width).reshape(height, width)
    hidden = [
        grid[top:bottom, left:right].ravel().tolist()
        for top, bottom in pairwise(tops)
        for left, right in pairwise(lefts)
    ]
    prompt = Prompt.about(photo, prompts.DIRECT_QUESTION, prompts.DIRECT_PREFIX)
    rows = backend.log_probs_hiding(prompt, [[], *hidden], numerals, prompts.DIRECT_END)
    whole, *without = (ScoreDistribution.from_log_probs(numerals, row) for row in rows)
    changes = np.array([whole.mean - each.mean for each in without])
    return OcclusionMap(
        changes.reshape(len(tops) - 1, len(lefts) - 1),
        [edge / height for edge in tops],
        [edge / width for edge in lefts],
        (height, width),
        whole,
    )


def _edges(length: int, side: float) -> list[int]:
    """The edges of groups of about `side` tokens, as equal as possible."""
    count = max(1, round(length / side))
    return [round(index * length / count) for index in range(count + 1)]
