"""The step `realqa compare --by model`: the model sees both photos and says which one is better.

The answer is an exact choice between two words: their probabilities after the start of the answer, renormalised. Each
pair is asked in both orders; P(A > B) is the mean, and the position bias is what the order alone is worth.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from realqa_cli import __version__
from realqa_cli.backends.base import Backend, Prompt
from realqa_cli.domain.numerals import Floats
from realqa_cli.domain.prompts import PAIR_CHOICES, PAIR_QUESTION
from realqa_cli.domain.standing import DECIDED
from realqa_cli.errors import ItemError, ModelError, UsageError
from realqa_cli.inference.inputs import OpenedItem, OpenOptions, identify_item
from realqa_cli.inference.model_handle import InferenceSettings
from realqa_cli.inference.model_settings import decode_options, decode_setting
from realqa_cli.inference.pipeline import run_batches
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.pair_record import PairRecord, pair_error_line
from realqa_cli.io.pairs import PhotoPair
from realqa_cli.io.sources import Item
from realqa_cli.media.video import Clip
from realqa_cli.steps.compare.compare import PairDone


@dataclass(frozen=True)
class ChoiceSettings(InferenceSettings):
    """How a model is asked. prompt: the question.  prefix: the start of the answer.  choices: first, then second."""

    prompt: str = PAIR_QUESTION.text
    prefix: str = PAIR_QUESTION.prefix
    choices: Sequence[str] = PAIR_CHOICES

    def check(self) -> None:
        """Raises UsageError for choices that are not two different words, and for an empty question."""
        super().check()
        if len(self.choices) != 2 or not all(self.choices) or self.choices[0] == self.choices[1]:
            what = f"needs two different words, not {','.join(self.choices)!r}"
            raise UsageError(what, where="--choices", remedy="give that of the first photo, then that of the second")
        if not self.prompt.strip():
            raise UsageError("is empty", where="--prompt", remedy="give the question")


@dataclass(frozen=True)
class OpenedPair:
    """A pair with its photos; goes through the pipeline as an `OpenedItem` does."""

    pair: PhotoPair
    a: OpenedItem
    b: OpenedItem

    @property
    def item(self) -> Item:
        """The pair as one item."""
        return Item(self.pair.index, self.pair.name, None)

    @property
    def error(self) -> ItemError | None:
        """The error of a photo that cannot be opened, the first one's first."""
        return self.a.error or self.b.error

    @property
    def image(self) -> tuple[Any, Any] | None:
        """Both photos."""
        return None if self.a.image is None or self.b.image is None else (self.a.image, self.b.image)

    @property
    def area(self) -> int:
        """Pixels of the larger photo before it is reduced: one is decoded after the other."""
        return max(self.a.area, self.b.area)

    @property
    def pixels(self) -> int | None:
        """Pixels of both photos; None if one is missing."""
        a, b = self.a.pixels, self.b.pixels
        return None if a is None or b is None else a + b

    def opened(self) -> "OpenedPair":
        """The pair with its photos decoded, or with an error."""
        a, b = self.a.opened(), self.b.opened()
        clip = next((each for each in (a, b) if isinstance(each.image, Clip)), None)
        if clip is None:
            return replace(self, a=a, b=b)
        error = ItemError("a model compares photos, not videos", type="video", where=clip.item.name)
        return replace(self, a=replace(a, image=None, error=a.error or error), b=b)


class ModelComparer:
    """A loaded model that compares photos by seeing both."""

    def __init__(self, settings: ChoiceSettings) -> None:
        """Loads the model. Raises ModelError if it cannot take two photos or gives no probabilities."""
        settings.check()
        handle = settings.handle()
        if handle.config is not None:
            raise ModelError(
                "was trained on questions about one photo, and cannot choose between two",
                where=handle.name,
                remedy="leave out --by model, or use an instruction-tuned model such as qwen2-vl-2b",
            )
        bounds = {"min_pixels": settings.min_pixels, "max_pixels": settings.max_pixels}
        self._backend = handle.load(**bounds, needs={"log_probs"})
        self._settings = settings
        _check_backend(self._backend, handle.name)
        decoding = decode_options(settings, self._backend, None)
        self._opening = OpenOptions(None, self._backend.photo_transform(), decoding)
        asked = {"question": settings.prompt, "prefix": settings.prefix, "choices": [*settings.choices]}
        how = {"by": "model", "decided": DECIDED, "prompt": asked}
        environment = {**handle.environment(self._backend), "realqa": __version__}
        self.manifest = Manifest(
            "compare", {**how, **self._backend.settings(), **decode_setting(settings, None)}, environment
        )

    def records(
        self, pairs: Iterable[PhotoPair], done: PairDone = lambda pair, a, b: False
    ) -> Iterator[dict[str, Any]]:
        """Yields one JSON-ready record for each pair that is not done, in order."""
        items = self._opened(pairs, done)
        for opened, answer in run_batches(items, self._settings.batch_size, self._ask, self._backend.thread_plan()):
            yield self._record(opened, answer)

    def _opened(self, pairs: Iterable[PhotoPair], done: PairDone) -> Iterator[OpenedPair]:
        for pair in pairs:
            a, b = (identify_item(item, self._opening) for item in (pair.a, pair.b))
            if a.content is None or b.content is None or not done(pair, a.content, b.content):
                yield OpenedPair(pair, a, b)

    def _ask(self, photos: Sequence[tuple[Any, Any]]) -> list[Floats]:
        """For each pair (2, 2): the log-probability of each choice for the orders A B and B A."""
        asked = self._settings
        prompts = [Prompt(asked.prompt, order, asked.prefix) for pair in photos for order in (pair, (pair[1], pair[0]))]
        log_probs = self._backend.log_probs(prompts, [*asked.choices], PAIR_QUESTION.end)
        if not np.all(log_probs < np.inf):  # also false for NaN
            raise ValueError("the model gives no probabilities (NaN)")
        return [np.asarray(log_probs[2 * i : 2 * i + 2]) for i in range(len(photos))]

    def _record(self, opened: OpenedPair, answer: Floats | ItemError) -> dict[str, Any]:
        try:
            if isinstance(answer, ItemError):
                raise answer
            p_a_better, fields = choice_fields(answer)
            contents = {"content_a": opened.a.content, "content_b": opened.b.content}
            own = {**fields, "run": self.manifest.run, **contents}
            return PairRecord.of_pair(opened.pair, p_a_better, by="model", **own).to_line()
        except ItemError as error:
            return pair_error_line(opened.pair, error, "model")


def choice_fields(log_probs: Floats) -> tuple[float, Mapping[str, float]]:
    """P(A > B) and the other fields of a record, from the (2, 2) log-probabilities of both orders.

    Raises ItemError if the model gives both choices the probability zero.
    """
    masses = np.exp(log_probs).sum(axis=1)
    if log_probs.max(axis=1).min() == -np.inf:
        raise ItemError("the model gives both choices the probability zero", type="unparsed")
    first = 1 / (1 + np.exp(np.clip(log_probs[:, 1] - log_probs[:, 0], -700, 700)))  # P(the photo shown first)
    shown_first, shown_second = float(first[0]), float(1 - first[1])
    fields = {
        "p_a_shown_first": shown_first,
        "p_a_shown_second": shown_second,
        "position_bias": float(first.mean()) - 0.5,
        "mass": min(1.0, float(masses.mean())),
    }
    return (shown_first + shown_second) / 2, fields


def _check_backend(backend: Backend, name: str) -> None:
    if not backend.takes_photo_pairs():
        raise ModelError(
            "this model, or its backend, takes one photo in a question",
            where=name or "--model",
            remedy="leave out --by model, or use a model of the Qwen-VL, InternVL, LLaVA-OneVision or Gemma 3 families",
        )
    if backend.decode_mode("exact") == "greedy":
        raise ModelError("needs probabilities, which the server does not report", where="--by model")
