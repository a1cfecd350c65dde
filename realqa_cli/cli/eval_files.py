"""The files that `realqa eval` writes: a plot, a report, and predictions in the form of the paper's release."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realqa_cli.cli.reporter import Reporter

if TYPE_CHECKING:
    from realqa_cli.steps.evaluate.evaluate import EvalSettings
    from realqa_cli.steps.evaluate.predictions import PredictionSet


@dataclass(frozen=True)
class EvalFiles:
    """Where the files go; None for those that were not requested.

    names: whether the plot of one file names the images farthest from the fit.
    """

    plot: Path | None
    names: bool
    report: Path | None
    release: Path | None

    def write_report(
        self, sample: "PredictionSet", lines: Sequence[Mapping[str, Any]], file: str, settings: "EvalSettings"
    ) -> None:
        """Write the HTML report of a file's predictions, with these metrics."""
        if self.report is not None:
            from realqa_cli.cli.eval_report import write_eval_report

            write_eval_report(sample, lines, file, settings, self.report)

    def write_release(self, sample: "PredictionSet", talk: Reporter) -> None:
        """Write the predictions as the paper's generated_predictions.jsonl."""
        if self.release is None:
            return
        from realqa_cli.io.jsonl import dump_line, write_atomic
        from realqa_cli.steps.evaluate.release_export import release_rows

        write_atomic(self.release, "".join(dump_line(row) + "\n" for row in release_rows(sample)))
        left_out = len(sample.predictions) - len(sample.pairs)
        talk.say(f"{self.release}: {len(sample.pairs)} rows" + (f", {left_out} left out" if left_out else ""))
