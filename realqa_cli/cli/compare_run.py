"""The run of `realqa compare`: pairs through the scores or through the model, records to the output or the terminal."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from realqa_cli.cli.output import Clear, OutputOptions, RecordWriter, Sink
from realqa_cli.cli.reporter import ProgressBar, Reporter
from realqa_cli.domain.scales import LEAST_MASS
from realqa_cli.io.appender import Appender
from realqa_cli.io.pairs import PhotoPair
from realqa_cli.io.score_store import ScoreStore, score_key, scores_file
from realqa_cli.steps.compare.compare import PairDone, ScoreComparer, ScoredPhoto, compare_manifest
from realqa_cli.steps.compare.model_choice import ChoiceSettings, ModelComparer
from realqa_cli.steps.score.score import ScoreSettings, open_scorer


def run_by_distribution(
    pairs: Sequence[PhotoPair], scoring: ScoreSettings, options: OutputOptions, reporter: Reporter
) -> int:
    """Compare by the distributions of the scores. Returns the exit code."""
    summary = _Summary()
    with reporter.bar("loading the model", len(pairs)) as bar:
        with _writer(options, reporter, bar) as writer, ExitStack() as stack:
            source = open_scorer(scoring)
            manifest = compare_manifest(source.manifest)
            writer.begin(manifest)
            store = ScoreStore(_scores_appender(options, stack), source.manifest, ScoredPhoto.of)
            records = ScoreComparer(pairs, store, manifest.run).records(source, _done(writer))
            writer.take(summary.counted(records))
        if store.reused:
            reporter.summary.append(f"{store.reused} scores of an earlier run used")
        return _finish(writer, summary, reporter)


def run_by_model(
    pairs: Sequence[PhotoPair], settings: ChoiceSettings, options: OutputOptions, reporter: Reporter
) -> int:
    """Compare by the model's own choice. Returns the exit code."""
    summary = _Summary()
    with reporter.bar("loading the model", len(pairs)) as bar:
        with _writer(options, reporter, bar) as writer:
            comparer = ModelComparer(settings)
            writer.begin(comparer.manifest)
            writer.take(summary.counted(comparer.records(pairs, _done(writer))))
        return _finish(writer, summary, reporter)


def pair_key(record: Mapping[str, Any]) -> Hashable | None:
    """What makes two records the same comparison; None for failed ones, which are tried again."""
    if record.get("error") is not None:
        return None
    names, contents = ((record.get(f"{name}_a"), record.get(f"{name}_b")) for name in ("image", "content"))
    return names, contents, record.get("run")


def _done(writer: RecordWriter) -> PairDone:
    return lambda pair, a, b: writer.done((pair.a.name, pair.b.name), (a, b))


def _writer(options: OutputOptions, reporter: Reporter, bar: ProgressBar) -> RecordWriter:
    return RecordWriter(options, reporter, bar, _table, did="compared", key=pair_key, noun="pair")


def _scores_appender(options: OutputOptions, stack: ExitStack) -> Appender | None:
    """The open file of scores next to the output; None without an output."""
    if options.output is None:
        return None
    how: dict[str, Any] = {"resume": options.resume, "overwrite": options.overwrite, "key": score_key}
    return stack.enter_context(Appender(scores_file(options.output), **how))


class _Summary:
    """Counts decided pairs, and the probability that the model gives to its two answers."""

    def __init__(self) -> None:
        self.decided = self.compared = 0
        self.masses = 0.0
        self.bias = 0.0

    def counted(self, records: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """The same records; each is counted before it is passed on."""
        for record in records:
            if record.get("error") is None:
                self.compared += 1
                self.decided += record["decided"]
                self.masses += record.get("mass") or 0.0
                self.bias += record.get("position_bias") or 0.0
            yield record

    def lines(self, by_model: bool) -> Iterator[str]:
        """What to say at the end."""
        if not self.compared:
            return
        yield f"{self.decided} of {self.compared} decided, {self.compared - self.decided} too close to call"
        if by_model:
            yield f"mean position bias {self.bias / self.compared:+.3f} towards the photo that is shown first"
            if self.masses / self.compared < LEAST_MASS:
                yield (
                    f"warning: the model gives both answers a probability of {self.masses / self.compared:.2g} on"
                    " average (the field mass): it does not answer so, and its choices mean little; try another"
                    " --prompt, --prefix or --choices"
                )


def _finish(writer: RecordWriter, summary: _Summary, reporter: Reporter) -> int:
    by_model = writer.manifest["settings"]["by"] == "model"
    reporter.summary += summary.lines(by_model)
    return writer.finish()


def _table(clear: Clear) -> Sink:
    """The table, whose libraries are loaded only where it is shown."""
    from realqa_cli.cli.views.pairs import PairTable

    return PairTable(clear)
