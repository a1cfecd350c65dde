"""The output of a regression head (paper Sec. 4.6): a score without a distribution."""

from collections.abc import Sequence
from typing import Any

from realqa_cli.backends.base import Prompt
from realqa_cli.errors import ItemError
from realqa_cli.io.records import ScoreRecord
from realqa_cli.media.video import VisualInput
from realqa_cli.steps.score.method import MethodContext, Prediction


class RegressionMethod:
    """Implements `Method`."""

    record = ScoreRecord
    decode = None

    def __init__(self, context: MethodContext) -> None:
        self.context, self.question = context, context.readout.question
        self.prompt = {"question": self.question.text}

    def predict(self, visual_inputs: Sequence[VisualInput]) -> list[Prediction]:
        """See `Method`."""
        batch = [Prompt.about(each, self.question.text) for each in visual_inputs]
        return [self._fields(share) for share in self.context.backend.regression_values(batch).tolist()]

    def _fields(self, share: float) -> Prediction:
        if share != share:
            return ItemError("the model output is NaN", type="model", remedy="try --dtype float32")
        unknown: dict[str, Any] = dict.fromkeys(("mode", "std", "interval", "mass", "text"))
        return {"score": self.context.readout.scale.at(share), **unknown}
