"""The settings of `realqa build-cot`, and their check."""

from collections.abc import Sequence
from dataclasses import dataclass

from realqa_cli.domain import numerals
from realqa_cli.domain.prompts import Order
from realqa_cli.domain.scales import PAPER_SCALE, Scale
from realqa_cli.errors import UsageError

STAGES = ("score", "attributes")
GRANULARITIES = ("attributes", "levels", "mix")
CONVERSATION_FORMATS = ("direct", "cot", "cot-regular")
ORDERS = ("high-first", "low-first")
MISSING = ("leave-out", "report")


@dataclass(frozen=True)
class BuildSettings:
    """Which conversations are made, and how.

    granularity: of the stage "attributes".  formats, digits (M, 1 to 3), scale (of the number in the text): of the
    stage "score".  mos_range: of records that do not state theirs.  missing: whether a label without all ten
    attributes gives the conversations that it can ("leave-out") or an error record ("report").  seed: of the
    wording of the format "cot".
    """

    stage: str = "score"
    granularity: Sequence[str] = GRANULARITIES
    order: Order = "high-first"
    formats: Sequence[str] = CONVERSATION_FORMATS
    digits: int = 3
    scale: Scale | None = None
    mos_range: Scale | None = None
    missing: str = "leave-out"
    seed: int = 0

    def check(self) -> None:
        """Raises UsageError for unknown names and for a scale that the digits cannot write."""
        for option, values, known in (
            ("--stage", [self.stage], STAGES),
            ("--granularity", self.granularity, GRANULARITIES),
            ("--formats", self.formats, CONVERSATION_FORMATS),
            ("--order", [self.order], ORDERS),
            ("--missing", [self.missing], MISSING),
        ):
            for name in values:
                if name not in known:
                    remedy = f"choose {'some' if len(values) > 1 else 'one'} of: {', '.join(known)}"
                    raise UsageError(f"unknown value {name!r}", where=option, remedy=remedy)
            if not values or len(set(values)) < len(values):
                remedy = f"give each of these at most once: {', '.join(known)}"
                raise UsageError("is empty or repeats a value", where=option, remedy=remedy)
        try:
            numerals.numerals(self.digits, *(self.scale or PAPER_SCALE))
        except ValueError as error:
            where, remedy = (
                ("--scale", "use another scale within 0-10, or more digits")
                if self.scale
                else ("--digits", "use 1 to 3")
            )
            raise UsageError(str(error), where=where, remedy=remedy) from error
