"""The methods of reading a score from a model: one module for each, chosen by name.

A method sends prompts about photos to the backend and returns the fields of their records. score.py adds what
all records share (scale, run); inference/readout.py decides which methods a model supports.
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
"""The result for one photo or video: the fields of its record, or the error."""


@dataclass(frozen=True)
class MethodContext:
    """Context passed to a scoring method.

    config: the content of `realqa.json`.  decode: "exact", "topk" or "greedy".
    samples, seed: number of random thoughts of the method "think"; None for the greedy one.
    """

    backend: Backend
    readout: Readout
    config: ScorerConfig | None
    decode: str
    samples: int | None = None
    seed: int = 0


class Method(Protocol):
    """A method of prompting a model and of reading a score from the output."""

    record: type[ScoreRecord]
    """The class of its records."""
    decode: str | None
    """How answers are decoded; None if nothing is decoded."""
    prompt: Mapping[str, Any]
    """The prompt, for the manifest."""

    def predict(self, visual_inputs: Sequence[VisualInput]) -> Sequence[Prediction]:
        """The prediction for each photo or video, in order. Raises ValueError if the model output is NaN."""
        ...


METHODS = {
    "direct": "realqa_cli.steps.score.direct:DirectMethod",
    "cot": "realqa_cli.steps.score.cot:CotMethod",
    "levels": "realqa_cli.steps.score.levels_method:LevelsMethod",
    "regression": "realqa_cli.steps.score.regression_method:RegressionMethod",
    "think": "realqa_cli.steps.score.think_method:ThinkMethod",
}
"""Method name to "module:class"; each class is constructed from a `MethodContext`."""

NATURAL_COT = "realqa_cli.steps.score.natural_cot:NaturalCotMethod"
"""The method "cot" in natural language."""


QUESTIONS = "realqa_cli.steps.score.questions_method:QuestionsMethod"
"""Several questions about each photo, each read by the method of the read-out."""


def make_method(name: str, context: MethodContext) -> Method:
    """The method with this name, which must be one of `METHODS`."""
    if context.readout.questions:
        target = QUESTIONS
    else:
        target = NATURAL_COT if context.readout.form == "natural" else METHODS[name]
    module, _, cls = target.partition(":")
    return cast(Method, getattr(import_module(module), cls)(context))


def distribution_fields(scores: ScoreDistribution, text: str) -> dict[str, Any]:
    """The fields of a record, with the distribution itself; `text` is the answer with its most likely value."""
    return {
        "score": scores.mean,
        "mode": scores.mode,
        "std": scores.std,
        "interval": scores.interval(),
        "mass": scores.mass,
        "text": text,
        "distribution": scores,
    }
