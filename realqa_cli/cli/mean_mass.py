"""The warning for a model that does not answer with scores: a low mean of the field `mass`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from realqa_cli.domain.scales import LEAST_MASS


@dataclass
class MeanMass:
    """The mean of the field `mass` of score records."""

    total: float = 0.0
    count: int = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Add the mass of a record that has one."""
        mass = record.get("mass")
        if "scale" in record and isinstance(mass, float):
            self.total, self.count = self.total + mass, self.count + 1

    def warnings(self) -> list[str]:
        """The warning for a mean below `LEAST_MASS`, with what to do."""
        if not self.count or self.total / self.count >= LEAST_MASS:
            return []
        return [
            f"warning: the model gives scores on the scale a probability of {self.total / self.count:.2g} on average"
            " (the field mass): it does not answer with such scores, and they mean little; use a model or an adapter"
            " that was trained for it, check --scale and --digits, or try --method levels"
        ]
