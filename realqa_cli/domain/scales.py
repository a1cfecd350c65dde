"""Scales of scores: an interval of numbers, and the affine maps between two of them.

Every data set gives its MOS on a range of its own, and a model writes scores on its scale (paper Eq. 2).
Pure: no record, no file, no torch.
"""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

if TYPE_CHECKING:
    from numpy.typing import NDArray

Value = TypeVar("Value", float, "NDArray[Any]")
"""A number, or an array of numbers."""

_TEXT = re.compile(r"[\[(]?\s*(-?\d+(?:\.\d+)?)(?:\s*[-,;:]\s*|\s+)(-?\d+(?:\.\d+)?)\s*[\])]?")


class Scale(NamedTuple):
    """The interval from `low` to `high`, both included. Create one by `Scale.of`, which checks it.

    A scale is a tuple: it equals `(low, high)`, unpacks to two numbers, and is written to JSON as a list.
    """

    low: float
    high: float

    @classmethod
    def of(cls, bounds: Sequence[float]) -> Self:
        """The scale with these two bounds. Raises ValueError unless they are finite and ascend."""
        low, high = bounds
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"the bounds {low:g} and {high:g} do not ascend")
        return cls(float(low), float(high))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads "1-5", "1 5" or "[1, 5]". Raises ValueError."""
        match = _TEXT.fullmatch(text.strip())
        if not match or float(match[1]) >= float(match[2]):
            raise ValueError(f"{text!r} is not a scale such as 1-5")
        return cls(float(match[1]), float(match[2]))

    @classmethod
    def native_for(cls, mos_range: Sequence[float]) -> "Scale":
        """The model's scale for labels on `mos_range`: the same one where one digit before the point can write
        it (1-5, 1-10), else 0-10.

        A range of less than `NARROWEST` points, such as a click rate on 0-1, goes to 0-10 too: its first digit
        would hardly vary.
        """
        own = cls.of(mos_range)
        return own if own.low >= 0 and own.high <= 10 and own.width >= NARROWEST else PAPER_SCALE

    def __str__(self) -> str:
        """The scale as options take it: "1-5"."""
        return f"{self.low:g}-{self.high:g}"

    @property
    def width(self) -> float:
        """The distance from the lowest to the highest value."""
        return self.high - self.low

    @property
    def point(self) -> float:
        """A quarter of the width: what is one point on a scale of 1-5."""
        return self.width / 4

    def share(self, value: Value) -> Value:
        """Where `value` lies on the scale: 0 at `low`, 1 at `high`, less or more outside."""
        return (value - self.low) / self.width

    def at(self, share: Value) -> Value:
        """The value at a share of the scale; the inverse of `share`."""
        return self.low + share * self.width

    def clip(self, value: float) -> float:
        """`value`, or the nearer bound where it lies outside."""
        return min(max(value, self.low), self.high)

    def clipped_share(self, value: float) -> float:
        """`share` of a number, held to 0..1."""
        return min(max(self.share(value), 0.0), 1.0)

    def from_scale(self, value: Value, other: Sequence[float]) -> Value:
        """`value`, which is on the scale `other`, mapped affinely to this one."""
        if tuple(other) == tuple(self):
            return value  # exact: no rounding on the way
        return self.at(Scale(*other).share(value))


LEAST_MASS = 0.5
"""A mean of `mass`, the probability of all scores on the scale, below this means that the model does not answer with
scores."""

NARROWEST = 3.0
"""Width from which on a range of labels serves as the model's scale."""

PAPER_SCALE = Scale(0.0, 10.0)
"""The paper's scale for a MOS of 0-100 (Eq. 2): the MOS divided by ten."""

ASSUMED_RANGE = Scale(1.0, 5.0)
"""The range of a MOS where neither its record nor an option states it."""
