"""The value of a regression head (paper Sec. 4.6): a score, and nothing that could be said about it."""

from collections.abc import Sequence
from typing import Any

from realqa_cli.backends.base import Prompt
from realqa_cli.domain import prompts
from realqa_cli.errors import ItemError
from realqa_cli.io.records import ScoreRecord
from realqa_cli.media.video import VisualInput
from realqa_cli.steps.score.method import MethodContext, Prediction


class RegressionMethod:
    """Implements `Method`."""

    record = ScoreRecord
    decode = None
    prompt = {"question": prompts.DIRECT_QUESTION}  # noqa: RUF012

    def __init__(self, means: MethodContext) -> None:
        self.means = means

    def read(self, images: Sequence[VisualInput]) -> list[Prediction]:
        """See `Method`."""
        asks = [Prompt.about(image, prompts.DIRECT_QUESTION) for image in images]
        return [self._found(share) for share in self.means.backend.regression_values(asks).tolist()]

    def _found(self, share: float) -> Prediction:
        if share != share:
            return ItemError("the model gave no value (NaN)", type="model", remedy="try --dtype float32")
        unknown: dict[str, Any] = dict.fromkeys(("mode", "std", "interval", "mass", "text"))
        return {"score": self.means.readout.scale.at(share), **unknown}
