"""The number that an answer states: a MOS on its own scale, and how the text gives it, on the model's scale.

Pure vocabulary: knows no record and no file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from realqa_cli.domain import numerals

Range = tuple[float, float]

DEFAULT_SCALE: Range = (1.0, 5.0)
"""The model's scale where the native one does not fit one digit before the point."""
ASSUMED_RANGE: Range = (1.0, 5.0)
"""The range of a MOS where nothing tells it."""


@dataclass(frozen=True)
class ScoreTarget:
    """mos: as given, on `mos_range`.  scale: the model's.  numeral: the MOS on `scale`, as texts have it."""

    mos: float
    mos_range: Range
    scale: Range
    numeral: str

    @classmethod
    def of(cls, mos: float, mos_range: Range, scale: Range | None, digits: int) -> Self:
        """On `scale`, or on the native one if it lies within 0-10, else on 1-5.

        Raises ValueError for a MOS outside its range and for a scale that `digits` digits cannot serve.
        """
        low, high = mos_range
        if not low <= mos <= high:
            raise ValueError(
                f"the MOS {mos:g} is outside its range {low:g}-{high:g}; mos_range or --mos-range tells it"
            )
        scale = scale or native_scale(mos_range)
        return cls(mos, mos_range, scale, number(mos, mos_range, scale, digits))


def native_scale(mos_range: Range) -> Range:
    """The text's scale where nobody chooses: the MOS's own if that lies within 0-10, else 1-5."""
    return mos_range if mos_range[0] >= 0 and mos_range[1] <= 10 else DEFAULT_SCALE


def number(mos: float, mos_range: Sequence[float], scale: Sequence[float], digits: int) -> str:
    """`mos` as the text gives it: mapped affinely from `mos_range` to `scale`, with exactly `digits` digits.

    Always one of the numerals that scoring weighs: 10 on the scale 1-10 is "9.99". Raises ValueError for a
    scale that does not fit.
    """
    known = numerals.numerals(digits, *scale)
    share = (mos - mos_range[0]) / (mos_range[1] - mos_range[0])
    value = mos if tuple(mos_range) == tuple(scale) else scale[0] + share * (scale[1] - scale[0])
    text = numerals.write(round(value, 9), digits)  # 9: binary fractions must not decide a half
    return text if text in known else known[0] if value < float(known[0]) else known[-1]
