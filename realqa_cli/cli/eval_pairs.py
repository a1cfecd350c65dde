"""`realqa eval --pairs`: the agreement of comparisons with people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from realqa_cli.cli.reporter import Reporter
from realqa_cli.domain.wording import plural
from realqa_cli.errors import UsageError

if TYPE_CHECKING:
    from realqa_cli.steps.evaluate.evaluate import EvalSettings


def check_pairs_options(given: Mapping[str, Any]) -> None:
    """Raises UsageError for an option that is for scores; `given` are the values by option."""
    for option, value in given.items():
        if value:
            raise UsageError("is for scores", where=option, remedy=f"leave out {option} or --pairs")


def pair_lines(files: Sequence[str], settings: "EvalSettings", reporter: Reporter) -> Iterator[dict[str, Any]]:
    """The metrics of each file of comparisons."""
    from realqa_cli.io.pairs import read_pairs
    from realqa_cli.steps.evaluate.pair_metrics import check_pair_metrics, judge_pairs, measure_pairs

    check_pair_metrics(settings)
    for file in files:
        judged = judge_pairs(read_pairs(file))
        if judged.repeated:
            reporter.say(
                f"{file}: {plural(judged.repeated, 'row')} of pairs that a later run compares; the last counts"
            )
        lines = [*measure_pairs(judged, settings)]
        if not any(line["n"] for line in lines):
            reporter.say(f"{file}: no pair has both p_a_better and people's choice (choice, or share_a)")
        elif lines[0]["ties"]:
            reporter.say(
                f"{file}: people call {plural(lines[0]['ties'], 'pair')} equal, which do not count in the accuracy"
            )
        yield from (line | ({"file": file} if len(files) > 1 else {}) for line in lines)
