"""Pairs of photos, A and B: which one is better, whether that is decided, and what people chose.

Pure: no model, no file.
"""

from collections.abc import Mapping
from typing import Any, Literal

from realqa_cli.domain.standing import DECIDED

Side = Literal["a", "b"]

CHOICES: Mapping[str, float] = {
    **dict.fromkeys(("a", "first", "left"), 1.0),
    **dict.fromkeys(("b", "second", "right"), 0.0),
    **dict.fromkeys(("tie", "equal", "same"), 0.5),
}
"""The words for people's choice, each with the share of people that it gives to A."""


def decision_margin(p_a_better: float, level: float = DECIDED) -> float:
    """How far the larger of P(A > B) and P(B > A) is above `level`; negative if it is too close to call."""
    return max(p_a_better, 1 - p_a_better) - level


def better_side(p_a_better: float, level: float = DECIDED) -> Side | None:
    """The better photo; None if it is too close to call."""
    if decision_margin(p_a_better, level) < 0:
        return None
    return "a" if p_a_better > 0.5 else "b"


def people_share(fields: Mapping[str, Any]) -> float | None:
    """The share of people who prefer A, by the fields `share_a` (0 to 1) or `choice`; None without either.

    Raises ValueError for a value that is not one of `CHOICES`, or not a share.
    """
    share, choice = fields.get("share_a"), fields.get("choice")
    if share is not None:
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ValueError(f"share_a is {share!r}, not a number from 0 to 1")
        return float(share)
    if choice is None or choice == "":
        return None
    word = str(choice).strip().lower()
    if word not in CHOICES:
        raise ValueError(f"choice is {choice!r}, not one of {', '.join(CHOICES)}")
    return CHOICES[word]
