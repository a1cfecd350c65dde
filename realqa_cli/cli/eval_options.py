"""The options of `realqa eval`, each written once: name, help, and how its text is read."""

from pathlib import Path
from typing import Annotated

import typer

from realqa_cli.cli.options import OUTPUT, PLOT_FILE, dataset_option, flag, option, plot_option
from realqa_cli.cli.output_files import OutputFile, records_kind

MEASURE = "What is measured"

_PREDICTIONS = (
    "Records of `realqa score` with mos (also .jsonl.gz, .csv, .parquet), or the paper's generated_predictions.jsonl;"
    " - for stdin. Several files make one table."
)
_METRIC = (
    "srcc, plcc, krcc, rmse, accuracy (of attributes), pair_accuracy, pair_accuracy_decided, pair_log_loss (--pairs) or"
    " all; may be given several times."
)
_ATTRIBUTES = "Measure the nine attributes and their average, not the score."
_PAIRS = "Measure comparisons (records of `realqa compare` with choice or share_a): accuracy and log-loss."
_LABELS = "JSON Lines or CSV with the truth; joined by path, then by unique file name."
_COMPARE = "Other predictions: the paired difference on the images of both."
_EXPORT = "Also write scores and MOS as the paper's generated_predictions.jsonl, which the authors' script reads."
_RELEASE = records_kind("predictions in the form of the release", "predict", "label", continues=False)
_PLOT = "Plot scores against MOS with the fit: of one file with the images farthest from it, of several in one plot"
_PLOT_NAMES = "Number and name the images farthest from the fit (--plot of one file), which is the default."
_LATEX = "Print a LaTeX table (booktabs) with the best values in bold."

Predictions = Annotated[list[str], typer.Argument(metavar="PREDS.jsonl...", show_default=False, help=_PREDICTIONS)]
Metrics = Annotated[list[str] | None, option(MEASURE, "--metric", metavar="NAME", help=_METRIC, default="all")]
Attributes = Annotated[bool, option(MEASURE, "--attributes", metavar="", help=_ATTRIBUTES)]
Pairs = Annotated[bool, flag(MEASURE, "--pairs", help=_PAIRS)]
Labels = Annotated[str | None, option(MEASURE, "--labels", metavar="FILE", help=_LABELS)]
LabelsDataset = Annotated[str | None, dataset_option("The path of --labels")]
_BOOTSTRAP = "Resamples of the intervals; 0 for none."
Bootstrap = Annotated[int | None, option(MEASURE, "--bootstrap", metavar="N", min=0, help=_BOOTSTRAP, default="1000")]
_GROUPS = "Resample whole groups of equal values of this field."
Groups = Annotated[str | None, option(MEASURE, "--groups", metavar="FIELD", help=_GROUPS)]
Seed = Annotated[int | None, option(MEASURE, "--seed", metavar="N", help="Random seed of the resampling.", default="0")]
_FIT = "Before plcc and rmse: none, or logistic (four parameters)."
Fit = Annotated[str | None, option(MEASURE, "--fit", metavar="NAME", help=_FIT, default="none")]
Compare = Annotated[str | None, option(MEASURE, "--compare", metavar="FILE", help=_COMPARE)]
Plot = Annotated[Path | None, PLOT_FILE, plot_option(MEASURE, _PLOT)]
ExportRelease = Annotated[
    Path | None,
    OutputFile("--export-release", _RELEASE),
    option(MEASURE, "--export-release", metavar="FILE.jsonl", help=_EXPORT),
]
PlotNames = Annotated[bool, option(MEASURE, "--plot-names/--no-plot-names", metavar="", help=_PLOT_NAMES)]
Latex = Annotated[bool, flag(OUTPUT, "--latex", help=_LATEX)]
