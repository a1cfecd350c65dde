"""The record that `realqa leaderboard` writes; `summary_records` has those of `realqa eval`."""

from realqa_cli.io.records import Pair
from realqa_cli.io.summary_records import SummaryRecord


class LeaderboardRecord(SummaryRecord):
    """Output of `realqa leaderboard`: one metric of one model on one data set."""

    dataset: str
    """The data set. Present: always."""
    model: str
    """The model, as given. Present: always."""
    metric: str
    """`srcc`, `plcc`, `krcc` or `rmse`. Present: always."""
    value: float | None
    """The metric. Unit: none; `rmse` in the unit of the MOS. Present: always; null where it is not defined."""
    ci95: Pair | None
    """95 % bootstrap interval over images. Unit: as `value`. Present: always; null with `--bootstrap 0`."""
    best: bool
    """Whether the value is the best of several models on the data set. Present: always."""
    difference: float | None
    """Metric less that of the best model, on the images of both. Unit: as `value`. Present: always; null for the best
    model, and where a metric is not defined."""
    difference_ci95: Pair | None
    """95 % interval of the difference, by a paired bootstrap. Unit: as `value`. Present: as `difference`."""
    p: float | None
    """Two-sided bootstrap p-value of no difference. Unit: 0 to 1. Present: as `difference`."""
    n: int
    """Images that the metric is computed on. Unit: images. Present: always."""
    unparsed: int
    """Predictions that hold no score. Unit: images. Present: always."""
    missing: int
    """Images without a prediction or without a MOS. Unit: images. Present: always."""
    repeatability: float | None
    """Largest difference of two scores of the same photo: the model was loaded again and scored it with another batch
    size. Unit: points of the model's scale. Present: always; null with `--repeat 0`."""
    repeated: int
    """Photos that were scored twice. Unit: photos. Present: always."""
    reason: str | None
    """Why there is no value. Present: always; null where there is one."""
