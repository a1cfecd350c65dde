"""A thought in the model's own words, then a number after a fixed tag, as reasoning models answer.

The model writes the whole answer, greedily or `samples` times at random. The number in it is not taken as the score:
the text up to where the number begins is forced, and the score is the exact distribution over all numerals that could
follow, each with the end of the answer that the model wrote. If the decode mode is greedy, the score is the number
that the model wrote.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from realqa_cli.backends.base import Prompt, TextSampling
from realqa_cli.domain.numerals import ScoreDistribution
from realqa_cli.domain.parsing import number_span
from realqa_cli.errors import ItemError, UsageError
from realqa_cli.io.records import ThoughtRecord
from realqa_cli.media.video import VisualInput
from realqa_cli.steps.score.direct import greedy_fields, score_distributions
from realqa_cli.steps.score.method import MethodContext, Prediction, distribution_fields

_LONGEST_END = 64
"""Most characters after the number that count as the end of the answer; else the preset's end is used."""


class ThinkMethod:
    """Implements `Method`."""

    record = ThoughtRecord

    def __init__(self, context: MethodContext) -> None:
        self.context, self.decode = context, context.decode
        self.question = context.readout.question
        preset = context.readout.preset
        if preset is None:
            raise UsageError("needs a preset", where="--method think", remedy="add --preset NAME")
        self.preset = preset
        self.prompt: dict[str, Any] = {"question": self.question.text, "tag": preset.tag, "end": self.question.end}
        self.prompt["max_tokens"] = preset.max_tokens
        if context.samples is not None:
            drawn = {name: getattr(preset, name) for name in ("temperature", "top_k", "top_p")}
            self.prompt |= {"samples": context.samples, "seed": context.seed, **drawn}

    def predict(self, visual_inputs: Sequence[VisualInput]) -> list[Prediction]:
        """See `Method`."""
        batch = [Prompt.asking(each, self.question, self.context.readout.layout) for each in visual_inputs]
        answers = [self._read(batch, texts) for texts in self._texts(batch)]
        return [self._fields([each[row] for each in answers]) for row in range(len(batch))]

    def _texts(self, batch: Sequence[Prompt]) -> list[list[str]]:
        """The answers to all prompts, once for each thought."""
        backend, tokens = self.context.backend, self.preset.max_tokens
        if self.context.samples is None:
            return [backend.generate(batch, tokens)]
        how = {name: getattr(self.preset, name) for name in ("temperature", "top_k", "top_p")}
        seeds = np.random.SeedSequence(self.context.seed).generate_state(self.context.samples)
        return [backend.sample(batch, tokens, TextSampling(int(seed) % 2**31, **how)) for seed in seeds]

    def _read(self, batch: Sequence[Prompt], texts: Sequence[str]) -> list["_Answer"]:
        """The score after each thought."""
        spans = [number_span(text, self.preset.tag) for text in texts]
        found = [row for row, span in enumerate(spans) if span is not None]
        answers = [_Answer(text, None) for text in texts]
        if self.decode == "greedy":
            for row in found:
                answers[row] = _Answer(texts[row], _point(texts[row][slice(*(spans[row] or ()))]))
            return answers
        by_end: dict[str, list[tuple[int, Prompt]]] = {}
        for row in found:
            start, stop = spans[row] or (0, 0)
            end = texts[row][stop:].rstrip()
            end = end if 0 < len(end) <= _LONGEST_END else self.question.end
            by_end.setdefault(end, []).append((row, replace(batch[row], prefix=texts[row][:start])))
        for end, rows in by_end.items():
            scores = score_distributions(self.context, [prompt for _, prompt in rows], end)
            for (row, prompt), score in zip(rows, scores, strict=True):
                answers[row] = _Answer(prompt.prefix + score.mode_text + end, score)
        return answers

    def _fields(self, answers: Sequence["_Answer"]) -> Prediction:
        """The fields of one photo; those thoughts that end without a number are counted."""
        scores = [answer.scores for answer in answers if answer.scores is not None]
        if not scores:
            what = f"no number follows {self.preset.tag!r} in the answer: {answers[0].text[-120:]!r}"
            return ItemError(what, type="unparsed", remedy="use another model, or a preset that fits this one")
        sampled = self.context.samples is not None
        whole = ScoreDistribution.mixture(scores)
        fields: Prediction
        if self.decode == "greedy" and not sampled:
            fields = greedy_fields(answers[0].text, scores[0].mode, self.context.readout.scale)
            if isinstance(fields, ItemError):
                return fields
        else:
            fields = distribution_fields(whole, answers[0].text)
        mass = {"mass": None} if self.decode == "greedy" else {}
        thoughts = {"thoughts": [answer.text for answer in answers]} if sampled else {}
        unparsed = {"unparsed_samples": len(answers) - len(scores)} if sampled else {}
        return {**fields, **mass, "samples": self.context.samples, **unparsed, **thoughts}


class _Answer:
    """An answer, and the distribution of its score; None where it has no number."""

    def __init__(self, text: str, scores: ScoreDistribution | None) -> None:
        self.text, self.scores = text, scores


def _point(numeral: str) -> ScoreDistribution:
    """The distribution of a number that the model wrote."""
    return ScoreDistribution(np.array([float(numeral)]), np.ones(1), 1.0, (numeral,))
