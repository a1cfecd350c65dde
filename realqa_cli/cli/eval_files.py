"""The files that `realqa eval` writes: a plot, a report, and predictions in the form of the paper's release."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realqa_cli.cli.reporter import Reporter
from realqa_cli.domain.wording import plural

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

    def write(
        self,
        samples: Mapping[str, "PredictionSet"],
        lines: Sequence[Mapping[str, Any]],
        settings: "EvalSettings",
        reporter: Reporter,
    ) -> None:
        """Write what was requested for the predictions by file, with their metrics. Raises UsageError."""
        for file, sample in samples.items():
            if self.report is not None:
                from realqa_cli.cli.eval_report import write_eval_report

                write_eval_report(sample, lines, file, settings, self.report)
            self._write_release(sample, reporter)
        if self.plot is not None:
            self._write_plot(self.plot, samples, settings)

    def _write_plot(self, plot: Path, samples: Mapping[str, "PredictionSet"], settings: "EvalSettings") -> None:
        from realqa_cli.cli.views import scatter

        titles = {file: _correlations(sample, settings) for file, sample in samples.items()}
        if len(samples) > 1:
            scatter.draw_overlay([(f"{file}: {titles[file]}", sample) for file, sample in samples.items()], plot)
        else:
            ((file, sample),) = samples.items()
            scatter.draw_scatter(sample, plot, titles[file], name_farthest=self.names)

    def _write_release(self, sample: "PredictionSet", reporter: Reporter) -> None:
        """Write the predictions as the paper's generated_predictions.jsonl."""
        if self.release is None:
            return
        from realqa_cli.io.jsonl import dump_line, write_atomic
        from realqa_cli.steps.evaluate.release_export import release_rows

        write_atomic(self.release, "".join(dump_line(row) + "\n" for row in release_rows(sample)))
        left_out = len(sample.predictions) - len(sample.pairs)
        more = f", {left_out} left out" if left_out else ""
        reporter.say(f"{self.release}: {plural(len(sample.pairs), 'row')}{more}")


def _correlations(sample: "PredictionSet", settings: "EvalSettings") -> str:
    """SRCC, PLCC and the number of images, for a plot."""
    from realqa_cli.steps.evaluate import evaluate

    plain = type(settings)(metric=("srcc", "plcc"), bootstrap=0)  # a plot shows no intervals
    measured = {line["metric"]: line["value"] for line in evaluate.evaluate(sample, plain)}
    parts = [f"{name.upper()} {value:.3f}" for name, value in measured.items() if value is not None]
    return ", ".join([*parts, f"n = {len(sample.pairs)}"])
