"""The step `realqa sort-probe`: can a model sort decimals? Paper Sec. 4.5, App. A and Tab. 3.

A model that cannot put scores in order can hardly predict them. It is shown some random decimals, in text
alone, and asked for them from low to high. Three shares are averaged over the trials: positions that are
right (accuracy), given numbers that the answer uses (recall), answered numbers that were not given
(hallucination); numbers that come twice are two.
"""

import gc
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Self

from realqa_cli import __version__, models
from realqa_cli.backends.base import Backend, LoadOptions, Prompt
from realqa_cli.backends.server.settings import ServerSettings
from realqa_cli.domain.parsing import read_list
from realqa_cli.domain.prompts import sort_question
from realqa_cli.errors import ItemError, ModelError, UsageError
from realqa_cli.inference.model_settings import ModelSettings
from realqa_cli.io.manifest import Manifest

LOW, HIGH = 1, 10
Outcomes = Callable[[Iterable[Prompt], int], Iterator[str | ItemError]]


@dataclass(frozen=True)
class ProbeSettings:
    """numbers: to be sorted in one trial.  decimals: at most so many digits after the point, 1 to 3."""

    trials: int = 200
    numbers: int = 10
    decimals: int = 3
    seed: int = 0

    def check(self) -> None:
        """Raises UsageError for a number that makes no sense."""
        for name, low, high in (("trials", 1, 10**6), ("numbers", 2, 1000), ("decimals", 1, 3)):
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"must be from {low} to {high}", where=f"--{name}")

    @property
    def max_new_tokens(self) -> int:
        """Room for the list, digit by digit, twice over, and for some talk."""
        return 128 + 16 * self.numbers


@dataclass(frozen=True)
class TrialScore:
    """Shares of one trial, 0 to 1."""

    accuracy: float
    recall: float
    hallucination: float

    @classmethod
    def of(cls, answered: Sequence[float] | None, given: Sequence[float]) -> Self:
        """The marks of an answer's numbers; None, no list, has neither right nor made-up ones."""
        if not answered:
            return cls(0.0, 0.0, 0.0)
        right = sum(a == b for a, b in zip(answered, sorted(given), strict=False))
        used = (Counter(answered) & Counter(given)).total()
        return cls(right / len(given), used / len(given), 1 - used / len(answered))


@dataclass(frozen=True)
class TextModel:
    """A model that is ready to be asked. name: as the user gave it.  closing: ends with its use."""

    name: str
    outcomes: Outcomes
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    closing: AbstractContextManager[object]


def questions(settings: ProbeSettings) -> Iterator[tuple[str, ...]]:
    """The numbers of each trial as they are written. Those of a trial do not depend on how many follow.

    Each is drawn evenly among the numbers from 1 to 10 with its count of decimals, which is drawn first, and
    written as Python prints it ("3.0", "8.88"), like the paper's.
    """
    draw = random.Random(settings.seed)
    for _ in range(settings.trials):
        yield tuple(_decimal(draw, settings.decimals) for _ in range(settings.numbers))


def _decimal(draw: random.Random, most: int) -> str:
    unit = 10 ** draw.randint(1, most)
    return str(draw.randint(LOW * unit, HIGH * unit) / unit)


class Probe:
    """One model's probe. kept: transcripts of an earlier run by trial, which are not asked again."""

    def __init__(self, speaker: TextModel, settings: ProbeSettings) -> None:
        """Asks nothing yet. Raises UsageError."""
        settings.check()
        self.speaker, self.settings = speaker, settings
        self.manifest = manifest_of(speaker, settings)
        self.kept: dict[int, Mapping[str, Any]] = {}

    def go_on(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Takes over what earlier transcripts have of this very probe; failures are tried again."""
        ours = (line for line in lines if line.get("run") == self.manifest.run and "error" not in line)
        self.kept = {line["trial"]: line for line in ours}

    def transcripts(self) -> Iterator[dict[str, Any]]:
        """A record for each trial, in order: its numbers, prompt and answer, what was read, and its marks."""
        trials = list(enumerate(questions(self.settings)))
        asks = (Prompt(sort_question(given)) for trial, given in trials if trial not in self.kept)
        answers = self.speaker.outcomes(asks, self.settings.max_new_tokens)
        for trial, given in trials:
            kept = self.kept.get(trial)
            yield dict(kept) if kept is not None else self._record(trial, given, next(answers))

    def _record(self, trial: int, given: Sequence[str], outcome: str | ItemError) -> dict[str, Any]:
        start = {"model": self.speaker.name, "trial": trial, "prompt": sort_question(given)}
        if isinstance(outcome, ItemError):
            return {**start, "error": outcome.as_field(), "run": self.manifest.run}
        numbers = [float(number) for number in given]
        read = read_list(outcome, numbers)
        marks = vars(TrialScore.of(read, numbers))
        return {**start, "answer": outcome, "read": read, **marks, "run": self.manifest.run}

    def record(self, transcripts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """The model's row of Tab. 3: means over the trials that were answered, and counts of all.

        An answer without a list counts, with accuracy and recall 0; a trial without an answer does not.
        """
        names = ("accuracy", "recall", "hallucination")
        sums, counts = dict.fromkeys(names, 0.0), Counter[str]()
        for one in transcripts:
            counts["failed" if "error" in one else "answered"] += 1
            counts["unparsed"] += "error" not in one and one["read"] is None
            for name in names:
                sums[name] += one.get(name, 0.0)
        answered = counts["answered"]
        means = {name: total / answered if answered else None for name, total in sums.items()}
        counted = {"trials": self.settings.trials, "unparsed": counts["unparsed"], "failed": counts["failed"]}
        return {"model": self.speaker.name, **means, **counted, "run": self.manifest.run}


def manifest_of(speaker: TextModel, settings: ProbeSettings) -> Manifest:
    """What a probe's `run` stands for."""
    drawn = {"numbers": settings.numbers, "decimals": settings.decimals, "seed": settings.seed}
    told = {**speaker.settings, "prompt": sort_question(["..."]), **drawn}
    return Manifest(
        "sort-probe",
        {**told, "max_new_tokens": settings.max_new_tokens},
        {"model": speaker.name, **speaker.environment, "realqa": __version__},
    )


def check_model(model: ModelSettings) -> None:
    """Raises ModelError for a local model that cannot run here, as far as its config.json tells."""
    from realqa_cli.backends.hf.remote_code import way_out
    from realqa_cli.backends.hf.text import model_kind

    config = models.config_of(model.model, model.revision)
    if not config or model_kind(config):
        return
    architecture = f"transformers has no architecture {config.get('model_type')!r}"
    if "AutoModel" not in config.get("auto_map", {}):
        raise ModelError(f"{architecture}, and it brings no code", where=model.model, remedy=way_out(model.model))
    if not model.trust_remote_code:
        remedy = f"add --trust-remote-code --revision COMMIT to run its own code, or {way_out(model.model)}"
        raise ModelError(architecture, where=model.model, remedy=remedy)


def local(model: ModelSettings) -> TextModel:
    """A model of a folder or of the hub, in this process. Raises ModelError or UsageError."""
    from realqa_cli.backends.hf.remote_code import RemoteCodeBackend
    from realqa_cli.backends.hf.text import TextBackend, model_kind

    model.check()
    check_model(model)
    gc.collect()  # a model that was asked before is large, and may hang in a cycle
    source = model.find()
    loading = LoadOptions(
        device=model.device,
        dtype=model.dtype,
        quantize=model.quantize,
        trust_remote_code=model.trust_remote_code,
    )
    known = model_kind(models.config_of(str(source.base))) is not None
    backend = (TextBackend if known else RemoteCodeBackend).load(source, loading)
    settings, environment = backend.settings(), backend.environment()
    batches = {"batch_size": model.batch_size}
    return TextModel(model.model, _in_batches(backend, model), settings, {**environment, **batches}, nullcontext())


def served(name: str | None, server: ServerSettings) -> TextModel:
    """A model behind a server, by its name there, a short name, or none. Raises ModelError or UsageError."""
    from realqa_cli.backends.server.text import ServerTextBackend

    if name is not None:
        server = replace(server, model=_called(name, server))
    backend = ServerTextBackend.open(server)
    return TextModel(name or backend.client.model, backend.outcomes, backend.settings(), backend.environment(), backend)


def _called(name: str, server: ServerSettings) -> str:
    """The server's name for a model: a short name's hub id, if the server knows that and not the other."""
    from realqa_cli.backends.server.client import ServerClient

    hub_id = models.SHORT_NAMES.get(name)
    if hub_id is None:
        return name
    with ServerClient(server) as client:
        return hub_id if hub_id in client.models and name not in client.models else name


def _in_batches(backend: Backend, model: ModelSettings) -> Outcomes:
    def outcomes(asks: Iterable[Prompt], max_new_tokens: int) -> Iterator[str | ItemError]:
        stream = iter(asks)
        while batch := list(islice(stream, model.batch_size)):
            try:
                yield from backend.generate(batch, max_new_tokens)
            except (RuntimeError, ValueError, MemoryError) as error:
                reason = " ".join(str(error).split())[:300]
                what, remedy = f"failed on a question ({reason})", "try a smaller --batch-size"
                raise ModelError(what, where=model.model, remedy=remedy) from error

    return outcomes
