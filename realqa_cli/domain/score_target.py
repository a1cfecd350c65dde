"""The number that an answer states: a MOS on its own range, and its numeral on the model's scale.

Pure: no record, no file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from realqa_cli.domain import numerals
from realqa_cli.domain.scales import Scale


@dataclass(frozen=True)
class ScoreTarget:
    """mos: as given, on `mos_range`.  scale: the model's.  numeral: the MOS on `scale`, as texts state it."""

    mos: float
    mos_range: Scale
    scale: Scale
    numeral: str

    @classmethod
    def of(cls, mos: float, mos_range: Sequence[float], scale: Sequence[float] | None, digits: int) -> Self:
        """The target on `scale`; without one on `Scale.native_for(mos_range)`.

        Raises ValueError for a MOS outside its range and for a scale that `digits` digits cannot write.
        """
        own = Scale.of(mos_range)
        if not own.low <= mos <= own.high:
            raise ValueError(f"the MOS {mos:g} is outside its range {own}; correct mos_range or --mos-range")
        chosen = Scale.native_for(own) if scale is None else Scale.of(scale)
        return cls(mos, own, chosen, numeral_of(mos, own, chosen, digits))


def numeral_of(mos: float, mos_range: Sequence[float], scale: Sequence[float], digits: int) -> str:
    """`mos` mapped affinely from `mos_range` to `scale` and written with exactly `digits` digits.

    The result is always one of `numerals(digits, *scale)`: 100 on 0-100 is "9.99" on 0-10. Raises ValueError for
    a scale that the digits cannot write.
    """
    known = numerals.numerals(digits, *scale)
    value = round(Scale.of(scale).from_scale(mos, mos_range), 9)  # 9: binary fractions must not decide a half
    text = numerals.write(min(max(value, 0.0), 10.0), digits)
    return text if text in known else known[0] if value < float(known[0]) else known[-1]
