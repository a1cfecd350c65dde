"""How a score is read out of a model: one module a method, chosen by name.

A method asks the backend about some photos and gives the fields in which its record says what came out.
What all records share (the scale, the run) is the matter of score.py; which methods fit a model is that of
readout.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

from realqa_cli.backends.base import Backend
from realqa_cli.domain.numerals import ScoreDistribution
from realqa_cli.errors import ItemError
from realqa_cli.inference.readout import Readout
from realqa_cli.io.records import ScoreRecord
from realqa_cli.media.video import VisualInput
from realqa_cli.models.realqa_json import ScorerConfig

Prediction = Mapping[str, Any] | ItemError
"""What came out for one photo or video: the fields of its record, or why there are none."""


@dataclass(frozen=True)
class MethodContext:
    """What a method has to work with.

    scorer: what the model says of itself.  decode: "exact", "topk" or "greedy".
    distribution: whether records carry every value with its probability.
    """

    backend: Backend
    readout: Readout
    config: ScorerConfig | None
    decode: str
    distribution: bool


class Method(Protocol):
    """One way of asking, and of reading the answer."""

    record: type[ScoreRecord]
    """The class of its records."""
    decode: str | None
    """How the answer is decoded; None where there is nothing to decode."""
    prompt: Mapping[str, Any]
    """What the model is asked, for the manifest."""

    def read(self, images: Sequence[VisualInput]) -> Sequence[Prediction]:
        """What the model says of each. Raises ValueError where it gives no probabilities (NaN)."""
        ...


METHODS = {
    "direct": "realqa_cli.steps.score.direct:DirectMethod",
    "cot": "realqa_cli.steps.score.cot:CotMethod",
    "levels": "realqa_cli.steps.score.levels_method:LevelsMethod",
    "regression": "realqa_cli.steps.score.regression_method:RegressionMethod",
}
"""Method name to "module:class"; each class is made of `MethodContext`."""


def make_method(name: str, context: MethodContext) -> Method:
    """The method of that name, which must be one of `METHODS`."""
    module, _, cls = METHODS[name].partition(":")
    return cast(Method, getattr(import_module(module), cls)(context))


def distribution_fields(found: ScoreDistribution, text: str, *, distribution: bool) -> dict[str, Any]:
    """The fields of a record that tell a distribution; `text` is the answer with its most likely value."""
    told: dict[str, Any] = {
        "score": found.mean,
        "mode": found.mode,
        "std": found.std,
        "interval": found.interval(),
        "mass": found.mass,
        "text": text,
    }
    return told | ({"distribution": found.pairs()} if distribution else {})
