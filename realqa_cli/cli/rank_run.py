"""The run of `realqa rank`: score or measure all items, rank them, write and print the ranking, do what is asked."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any

from realqa_cli.cli.output import JsonLines, OutputOptions, Sink
from realqa_cli.cli.rank_actions import RankActions
from realqa_cli.cli.reporter import ProgressBar, Reporter
from realqa_cli.cli.run_step import open_sources
from realqa_cli.domain.wording import plural
from realqa_cli.errors import ItemError
from realqa_cli.inference.inputs import FinishedByContent
from realqa_cli.io.appender import Appender
from realqa_cli.io.jsonl import dump_line, write_atomic
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.run_files import read_runs, write_runs
from realqa_cli.io.score_store import ScoreStore, score_key, scores_file
from realqa_cli.io.sources import Item
from realqa_cli.media.decode import DecodeOptions
from realqa_cli.steps.rank.candidates import Candidate, candidate_of
from realqa_cli.steps.rank.photographs import Photograph, pair_items
from realqa_cli.steps.rank.rank import RankSettings, failed_record, rank_manifest, rank_records
from realqa_cli.steps.rank.scored_items import are_scored, measured_records
from realqa_cli.steps.score.score import ScoreSettings, open_scorer

Failure = tuple[Mapping[str, Any], ItemError]
"""The score record or the input of an item without a score, and why."""


def run_rank(
    settings: RankSettings,
    scoring: ScoreSettings,
    options: OutputOptions,
    reporter: Reporter,
    actions: RankActions,
    *,
    limit: int | None,
) -> int:
    """Returns the exit code: 1 where items or sidecars failed, else 0."""
    photographs = _read_photographs(options, reporter, limit)
    items = [each.item for each in photographs]
    actions.check_items(items)
    companions = {each.item.name: each.companions for each in photographs}
    with ExitStack() as stack:
        output = _enter(options.appender(score_key), reporter, stack)
        with reporter.bar("measuring" if are_scored(items) else "loading the model", len(items)) as bar:
            if are_scored(items):
                candidates, failures = _measure(items, scoring, bar)
            else:
                file = _enter(_scores_appender(options), reporter, stack)
                candidates, failures = _score(items, scoring, file, reporter, bar)
            manifest = rank_manifest(candidates, settings)
            ranked = list(rank_records(candidates, settings, run=manifest.run, companions=companions))
            failed = [failed_record(record, error, settings) for record, error in failures]
            bar.stop()
        _write(output, options, reporter, manifest, [*ranked, *failed])
        _write_report(options, reporter, manifest, [*ranked, *failed])
        for record in ranked:
            actions.perform(record)
        _print(options, ranked, failed)  # last, because a reader such as `head` can end the run here
    actions.report(reporter)
    _summarise(reporter, ranked, failed)
    return 1 if failed or actions.failures else 0


def _read_photographs(options: OutputOptions, reporter: Reporter, limit: int | None) -> list[Photograph]:
    items, _ = open_sources(options, reporter, None)  # companions of a photo do not count towards the limit
    photographs = [*islice(pair_items(items), limit)]
    files = sum(len(each.companions) for each in photographs)
    if files:
        reporter.summary.append(
            f"{plural(files, 'file')} of the same photographs (RAW, live photos) belong to their JPEG or HEIF"
        )
    return photographs


def _scores_appender(options: OutputOptions) -> Appender | None:
    """The file of scores next to the output; None without an output."""
    if options.output is None:
        return None
    path = scores_file(options.output)
    return Appender(path, resume=options.resume, overwrite=options.overwrite, key=score_key)


def _enter(file: Appender | None, reporter: Reporter, stack: ExitStack) -> Appender | None:
    """The file, locked until the end of the run; None without one. Raises OutputError."""
    if file is not None:
        stack.enter_context(file)
        if file.repaired:
            reporter.say(f"{file.path}: {file.repaired}")
    return file


def _score(
    items: Sequence[Item], scoring: ScoreSettings, file: Appender | None, reporter: Reporter, bar: ProgressBar
) -> tuple[list[Candidate], list[Failure]]:
    step = open_scorer(scoring)
    bar.working("score")
    if file is None:
        reporter.manifest(step.manifest.as_json())
    store = ScoreStore(file, step.manifest, candidate_of)

    def done(name: str, content: str) -> bool:
        found = store.done(name, content)
        if found:
            bar.advance(failed=len(store.failed))
        return found

    try:
        for record in step.records(items, done=FinishedByContent(done)):
            store.take(record)
            bar.advance(failed=len(store.failed))
    except KeyboardInterrupt:
        kept = ", kept" if file is not None else "; add -o FILE to keep finished work"
        raise KeyboardInterrupt(f"{len(store.scored)} scored{kept}") from None
    if store.reused:
        reporter.summary.append(f"{plural(store.reused, 'score')} of an earlier run used")
    return store.scored, store.failed


def _measure(items: Sequence[Item], scoring: ScoreSettings, bar: ProgressBar) -> tuple[list[Candidate], list[Failure]]:
    candidates: list[Candidate] = []
    failures: list[Failure] = []
    decode = DecodeOptions(None, scoring.color_management is not False, scoring.decode_timeout, scoring.decode_memory)
    for item, outcome in measured_records(items, decode):
        try:
            if isinstance(outcome, ItemError):
                raise outcome
            candidates.append(candidate_of(outcome))
        except ItemError as error:
            failures.append(({item.kind: item.name, **item.fields}, error))
        bar.advance(failed=len(failures))
    return candidates, failures


def _write(
    file: Appender | None,
    options: OutputOptions,
    reporter: Reporter,
    manifest: Manifest,
    records: Sequence[dict[str, Any]],
) -> None:
    """Replace the records of an earlier ranking as a whole; other formats are made from them on closing the file."""
    if file is None or options.output is None:
        reporter.manifest(manifest.as_json())
        return
    runs = read_runs(options.output) if options.resume else {}
    write_runs(options.output, runs | {manifest.run: manifest.as_json()})
    write_atomic(file.path, "".join(f"{dump_line(record)}\n" for record in records))


def _write_report(
    options: OutputOptions, reporter: Reporter, manifest: Manifest, records: Sequence[dict[str, Any]]
) -> None:
    if options.report is None:
        return
    from realqa_cli.cli.views.report import report_of

    report = report_of(options.report, options.sources)
    for record in records:
        report.add(record)
    report.write(options.report, manifest.as_json(), reporter.say)


def _print(options: OutputOptions, ranked: Sequence[dict[str, Any]], failed: Sequence[dict[str, Any]]) -> None:
    if options.output is not None and options.top is None and not options.table:
        return
    sink = _sink(options)
    for record in islice(ranked, options.top):
        sink.write(record)
    for record in failed if options.top is None else ():
        sink.write(record)
    sink.close()


def _sink(options: OutputOptions) -> Sink:
    if options.table or (sys.stdout.isatty() and not options.json):
        from realqa_cli.cli.views.ranking import RankTable

        return RankTable()
    return JsonLines()


def _summarise(reporter: Reporter, ranked: Sequence[dict[str, Any]], failed: Sequence[dict[str, Any]]) -> None:
    for line in reporter.summary_lines():
        reporter.say(line)
    groups = {record["group"]: record["group_kind"] for record in ranked if record["group_size"] > 1}
    kinds = [
        f"{plural(count, noun)}{rest}"
        for kind, noun, rest in (("burst", "burst", ""), ("near-duplicates", "group", " of near-duplicates"))
        if (count := sum(each == kind for each in groups.values()))
    ]
    open_groups = sum(_is_open(record) for record in ranked)
    if kinds:
        close = f"; in {open_groups} of them the first place is too close to call" if open_groups else ""
        reporter.say(f"{' and '.join(kinds)}{close}")
    elif len(ranked) > 1:
        reporter.say("no bursts or near-duplicates were found, so every photo is to keep; --top N prints the best N")
    kept = sum(record["keep"] for record in ranked)
    parts = [f"{len(ranked)} ranked", f"{kept} to keep", *([f"{len(failed)} failed"] if failed else [])]
    reporter.say(f"{plural(len(ranked) + len(failed), 'photograph')}: {', '.join(parts)}")


def _is_open(record: Mapping[str, Any]) -> bool:
    """Whether the record is the first one of a group, and not better than the second with certainty."""
    return record["group_size"] > 1 and record["rank_in_group"] == 1 and not record["decided"]
