"""What views are worth: people's MOS where there is one, else the teacher's and the earlier model's opinion.

The teacher is a ridge regression on people's ratings and knows what photographs are worth; the earlier model
was trained on damage of known strength and knows what damage costs. So a photo's score is people's or mostly
the teacher's, and what a change costs it is the mean of both. A crop differs from its view by a part of what
the teacher sees between them.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from teacher import Cells, choose_ridge, statistics
from views import View

Floats = npt.NDArray[np.float64]
TRUST = 0.75  # weight of the teacher's opinion of a photo as it is; the rest is the earlier model's
CHANGE = 0.5  # the same, of what a change costs
SLOPE = 1.2  # points that a point of the earlier model is worth; its scores bunch
LOCAL, MOST = 0.7, 0.6  # share of the teacher's difference between a crop and its view; points at most
LOWEST, HIGHEST = 1.05, 4.95


class PseudoLabels:
    """Scores of views and of their crops."""

    def __init__(self, views: list[View]) -> None:
        features = np.stack([statistics(view.cells()) for view in views])
        rated = [i for i, view in enumerate(views) if view.score is not None and view.change == 0]
        scores = np.array([views[i].score for i in rated], float)
        self.ridge, left_out, self.penalty = choose_ridge(features[rated], scores)
        self.agreement = float(np.corrcoef(left_out, scores)[0, 1])
        self._of_views = self.ridge(features)
        earlier = np.array([math.nan if view.earlier is None else view.earlier for view in views])
        plain = [i for i, view in enumerate(views) if view.earlier is not None and view.change == 0]
        if plain:
            earlier = self._of_views[plain].mean() + SLOPE * (earlier - earlier[plain].mean())
        self.scores = _scores(views, self._of_views, earlier)

    def of_crop(self, number: int, cells: Cells) -> float:
        """number: of the view.  cells: of the crop."""
        found = float(self.ridge(statistics(cells)[None])[0] - self._of_views[number])
        score = self.scores[number] + LOCAL * float(np.clip(found, -MOST / LOCAL, MOST / LOCAL))
        return float(np.clip(score, LOWEST, HIGHEST))


def _scores(views: list[View], teacher: Floats, earlier: Floats) -> Floats:
    """One for each view."""
    plain = {view.photo: i for i, view in enumerate(views) if view.change == 0}
    found = np.zeros(len(views))
    for i, view in enumerate(views):
        if view.photo not in plain:
            found[i] = CHANGE * teacher[i] + (1 - CHANGE) * earlier[i]
            continue
        start = plain[view.photo]
        people = views[start].score
        found[i] = people if people is not None else TRUST * teacher[start] + (1 - TRUST) * earlier[start]
        if view.change:
            costs = teacher[i] - teacher[start], earlier[i] - earlier[start]
            found[i] += CHANGE * costs[0] + (1 - CHANGE) * costs[1]
    return np.clip(found, LOWEST, HIGHEST)
