"""Several questions about each photo in one run, such as its quality and its aesthetics (`--ask`).

The photos of a batch are encoded once, and with a prefix cache all questions share what comes before their texts. Each
answer is that of a run with this question alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from realqa_cli.backends.base import Backend
from realqa_cli.errors import ItemError
from realqa_cli.media.video import VisualInput
from realqa_cli.steps.score.method import Method, MethodContext, Prediction, make_method

ANSWER_FIELDS = ("score", "mode", "std", "interval", "mass", "text", "levels", "distribution")
"""The fields of one question in `scores`, as far as the method has them."""


class QuestionsMethod:
    """Implements `Method`. The fields of a record are those of the first question; `scores` has those of all."""

    def __init__(self, context: MethodContext) -> None:
        self._context = context
        methods = {name: self._method(name, context.backend) for name in context.readout.questions}
        first = next(iter(methods.values()))
        self.record, self.decode = first.record, first.decode
        self.prompt: Mapping[str, Any] = {"questions": {name: method.prompt for name, method in methods.items()}}

    def predict(self, visual_inputs: Sequence[VisualInput]) -> list[Prediction]:
        """See `Method`."""
        backend = self._context.backend
        if self._context.readout.method != "think":  # whose answers are generated, without a cache
            backend = backend.prefix_cache()
        answers = {name: self._method(name, backend).predict(visual_inputs) for name in self._context.readout.questions}
        return [_joined(dict(zip(answers, each, strict=True))) for each in zip(*answers.values(), strict=True)]

    def _method(self, name: str, backend: Backend) -> Method:
        readout = self._context.readout
        alone = replace(readout, question=readout.questions[name], questions={})
        return make_method(readout.method, replace(self._context, readout=alone, backend=backend))


def _joined(answers: Mapping[str, Prediction]) -> Prediction:
    """The prediction of a photo from those of its questions; the error of a question that failed."""
    scores = {}
    for name, answer in answers.items():
        if isinstance(answer, ItemError):
            return ItemError(f"{name}: {answer.what}", type=answer.type, where=answer.where, remedy=answer.remedy)
        scores[name] = {field: answer[field] for field in ANSWER_FIELDS if field in answer}
    first = next(iter(answers.values()))
    assert not isinstance(first, ItemError)
    return {**first, "scores": scores}
