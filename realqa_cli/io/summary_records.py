"""Records about more than one item, or about a run: the lines of `eval`, `ncm`, `sort-probe` and the training log.

Like the classes in `records`, these are the source of the reference page, and a test holds the commands to them.
"""

from collections.abc import Collection
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from realqa_cli.io.records import ErrorField, LabelRecord, Pair, Record


class CompositeRecord(LabelRecord):
    """Output of `realqa composite apply`: a label with the weighted sum of its attributes."""

    composite: float
    """Intercept plus the sum of weight times code. Unit: that of the feedback. Present: always."""
    composite_range: Pair
    """Lowest and highest composite that the weights can give. Unit: that of the feedback. Present: always."""
    composite_weights: str
    """Id of the weights, 16 hex digits. Present: always."""
    composite_imputed: list[str] | None = None
    """Attributes that the label lacks; their mean in the fitted labels was used. Present: where there are any."""


class RankRecord(Record):
    """Output of `realqa rank`: a photo's place, followed by the fields of its score record (without `distribution`)."""

    nullable: ClassVar[Collection[str]] = ("error",)

    rank: int
    """Place over all photos, from 1, the best: by `win_rate`, and within a group in the order of `rank_in_group`.
    Present: always."""
    group: int
    """Number of the group of photos of one scene, from 1, the group of the best photo. Present: always."""
    group_size: int
    """Photos in the group. Unit: photos. Present: always."""
    group_kind: Literal["single", "near-duplicates", "burst"]
    """What the photos of the group are: `burst` if they were taken at different times. Present: always."""
    rank_in_group: int
    """Place within the group, from 1: by the scores' distributions and by `sharpness`. Present: always."""
    win_rate: float
    """Mean probability that the photo is better than another one, by the distributions of their scores. Unit: 0 to 1.
    Present: always."""
    p_better_than_next: float | None
    """Probability that the photo is better than the next one of its group; for the last or only one of a group, than
    the next one by `rank`. Unit: 0 to 1. Present: always; null for the last photo of all, and where the scores have
    no uncertainty."""
    decided: bool | None
    """Whether `p_better_than_next` is at least 0.75; otherwise it is too close to call. Present: always; null as
    `p_better_than_next`."""
    keep: bool
    """Whether the photo is among the best `--keep` of its group. Present: always."""
    stars: int | None = None
    """Stars, 1 to 5. Present: with `--stars` or `--xmp`."""
    score: float
    """As in the score record. Unit: points of `scale`. Present: always."""
    sharpness: float | None
    """Energy of the finest detail in the sharpest tenth of the photo at full resolution; it compares photos of one
    scene. Present: always; null for videos."""
    taken: str | None
    """When the photo was taken, by its EXIF data. Present: always; null where that does not say."""
    companions: list[str]
    """Other files of the same photograph: the RAW file of a JPEG or HEIF, the MOV of a live photo. Present: always;
    mostly empty."""
    run: str
    """Id of the manifest of the ranking, which lists the runs of the scores. Present: always."""
    error: ErrorField | None = None
    """Why there is no place. Present: always; null for a result, and in an error record all other fields are null."""


class SummaryRecord(BaseModel):
    """Base of the records that are not about one item."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class CalibrationRecord(SummaryRecord):
    """Output of `realqa calibrate fit`: what the calibration is, and its figures on held-out labels."""

    calibration: str
    """Id of the calibration, 16 hex digits. Present: always."""
    curve: Literal["isotonic", "logistic"]
    """Kind of the curve from scores to labels. Present: always."""
    target: str
    """Field of the labels. Present: always."""
    n: int
    """Labelled photos. Unit: photos. Present: always."""
    coverage: float
    """Requested probability that the label of a new photo lies in its interval. Unit: 0 to 1. Present: always."""
    half_width: float
    """Half of the width of the intervals, before they are cut at the range. Unit: points of the labels. Present:
    always."""
    range: Pair
    """Lowest and highest label. Unit: points of the labels. Present: always."""
    score_range: Pair
    """Lowest and highest score that was fitted. Unit: points of the scores. Present: always."""
    srcc: float | None
    """Spearman's correlation of scores and labels. Present: always; null where it is not defined."""
    rmse_before: float
    """RMSE of the scores, stretched from their scale to the range of the labels. Unit: points of the labels. Present:
    always."""
    rmse: float
    """RMSE of calibrated scores on held-out labels. Unit: points of the labels. Present: always."""
    rmse_by_curve: dict[str, float]
    """`rmse` of each kind of curve that was tried. Unit: points of the labels. Present: always."""
    measured_coverage: float
    """Share of held-out labels that lie in their interval. Unit: 0 to 1. Present: always."""
    measured_width: float
    """Mean width of these intervals. Unit: points of the labels. Present: always."""


class DoctorRecord(SummaryRecord):
    """Output of `realqa doctor`: the result of one check."""

    check: str
    """Name of the check. Present: always."""
    status: Literal["ok", "warning", "failed", "skipped"]
    """`failed` means that scores would be wrong without notice, or that a run would fail. Present: always."""
    message: str
    """What was found; one line. Present: always."""
    remedy: str | None
    """What to do about it. Present: always; null where nothing is to be done."""
    values: dict[str, Any]
    """The figures of the check. Present: always; may be empty."""


class MetricRecord(SummaryRecord):
    """Output of `realqa eval`: one metric, with `--attributes` one metric of one attribute."""

    file: str | None = None
    """The file of predictions, as given. Present: where several files are given."""
    metric: str
    """`srcc`, `plcc`, `krcc`, `rmse`; for attributes also `accuracy` and `within_one`; with `--pairs` `pair_accuracy`,
    `pair_accuracy_decided` (of the pairs that the model decides) and `pair_log_loss`. Present: always."""
    attribute: str | None = None
    """Key of the attribute, or `average`. Present: with `--attributes`."""
    value: float | None
    """The metric; with `--compare` the difference. Unit: none; `rmse` in the unit of the MOS. Present: always; null
    where the metric is not defined (see `reason`)."""
    ci95: Pair | None
    """95 % bootstrap interval over images or pairs, or over `--groups`. Unit: as `value`. Present: always; null with
    `--bootstrap 0`."""
    n: int
    """Images that the metric is computed on; with `--pairs`, and in the next two fields, pairs. Unit: images. Present:
    always."""
    unparsed: int
    """Predictions that hold no score. Unit: images. Present: always."""
    missing: int
    """Images without a prediction or without a MOS. Unit: images. Present: always."""
    ties: int | None = None
    """Pairs that people call equal; they count in `pair_log_loss`, not in the accuracy. Unit: pairs. Present: with
    `--pairs`."""
    repeated: int | None = None
    """Predictions of an image that the file has before; the first one counts. Present: where there are any."""
    reason: str | None = None
    """Why there is no value. Present: where `value` is null."""
    unit: str | None = None
    """How scores were mapped to the unit of the MOS. Present: for `rmse`."""
    fit: str | None = None
    """The fit before `plcc` and `rmse`. Present: with `--fit logistic`."""
    note: str | None = None
    """What to know about the value. Present: for some attributes, and for averages of fewer than nine."""
    columns: int | None = None
    """Attributes in the average. Present: for the average."""
    left_out: list[str] | None = None
    """Attributes without a value. Present: for an average that lacks some."""
    ours: float | None = None
    """Metric of the predictions. Present: with `--compare`."""
    theirs: float | None = None
    """Metric of the other file's predictions. Present: with `--compare`."""
    p: float | None = None
    """Two-sided bootstrap p-value of no difference. Unit: 0 to 1. Present: with `--compare`."""
    compared_with: str | None = None
    """The other file. Present: with `--compare`."""


class NcmRecord(SummaryRecord):
    """Output of `realqa ncm CONVERSATIONS.jsonl`."""

    ncm: float | None
    """Numerical Continuity Metric. Unit: squared points. Present: always."""
    ncm_star: float | None
    """NCM* of the paper, the true digit left out and the others renormalised. Unit: squared points. Present: always."""
    ncm_star_release: float | None
    """NCM* as the authors' code computes it, without renormalising. Unit: squared points. Present: always."""
    loss: float
    """Cross-entropy of all answers. Unit: nats per token. Present: always."""
    n: int
    """Direct answers. Unit: conversations. Present: always."""


class NcmLogRecord(SummaryRecord):
    """Output of `realqa ncm --log RUN`: three records for each log."""

    run: str
    """Name of the run's folder. Present: always."""
    part: str
    """`first` or `last` (100 steps, or half of a shorter log), or `ratio` = (last - first) / first. Present: always."""
    steps: tuple[int, int] | None
    """First and last step of the part. Present: always; null for the ratio."""
    ncm: float | None
    """Mean of NCM, or its ratio. Unit: squared points, none for the ratio. Present: always; null where the log has
    no value."""
    ncm_star: float | None
    """The same for NCM*. Unit: as `ncm`. Present: always."""
    ncm_star_release: float | None
    """The same for the released form. Unit: as `ncm`. Present: always."""
    loss: float | None
    """The same for the cross-entropy. Unit: nats per token, none for the ratio. Present: always."""


class SortProbeRecord(SummaryRecord):
    """Output of `realqa sort-probe`: one model."""

    model: str
    """The model, as given. Present: always."""
    accuracy: float | None
    """Positions that agree with the sorted list, averaged over trials. Unit: 0 to 1. Present: always."""
    recall: float | None
    """Given numbers that the answer contains. Unit: 0 to 1. Present: always."""
    hallucination: float | None
    """Answered numbers that were not given. Unit: 0 to 1. Present: always."""
    recall_multiset: float | None
    """Recall where a number that was given twice must be answered twice. Unit: 0 to 1. Present: always."""
    hallucination_multiset: float | None
    """Hallucination where further copies of a given number count. Unit: 0 to 1. Present: always."""
    trials: int
    """Lists that were to be sorted. Present: always."""
    unparsed: int
    """Answers without a list; their accuracy and recall are 0. Present: always."""
    failed: int
    """Trials without an answer (server errors); they count in no mean. Present: always."""
    run: str
    """Id of the manifest. Present: always."""


class TrainLogRecord(SummaryRecord):
    """A line of `log.jsonl` in the folder of `realqa train`: means since the last line, over all processes."""

    model_config = ConfigDict(extra="allow")

    step: int
    """Optimiser steps so far. Present: always."""
    loss: float
    """Training loss of the objective, number loss included. Present: always."""
    cross_entropy: float | None = None
    """Cross-entropy of the answers. Unit: nats per token. Present: always; null for `--objective regression`."""
    ncm: float | None
    """Numerical Continuity Metric of the direct conversations. Unit: squared points. Present: always; null in a step
    without any."""
    ncm_star: float | None
    """NCM*. Unit: squared points. Present: as `ncm`."""
    ncm_star_release: float | None
    """NCM* as the authors' code computes it. Unit: squared points. Present: as `ncm`."""
    learning_rate: float
    """Learning rate of the step. Present: always."""
    epoch: float
    """Epochs so far. Present: always."""
    samples_per_second: float
    """Conversations per second since the last line. Unit: 1/s. Present: always."""
    validation_srcc: float | None = None
    """SRCC of the scores of the validation data. Present: every `--eval-steps` with `--validation`; null for constant
    scores."""
    validation_plcc: float | None = None
    """PLCC. Present: as `validation_srcc`."""
    validation_ncm: float | None = None
    """NCM of the direct answers. Unit: squared points. Present: as `validation_srcc`; null for other objectives than
    ntp."""
    validation_ncm_star: float | None = None
    """NCM*. Unit: squared points. Present: as `validation_ncm`."""
    validation_ncm_star_release: float | None = None
    """NCM* as the authors' code computes it. Unit: squared points. Present: as `validation_ncm`."""
    validation_n: int | None = None
    """Number of scored photos. Present: as `validation_srcc`."""


class RunManifest(SummaryRecord):
    """The manifest of a run: `FILE.run.json` next to an output file maps its id to it, without `-o` it is on stderr."""

    run: str
    """The id that records carry: 16 hex digits of a digest of the other fields. Present: always."""
    command: str
    """The command. Present: always."""
    settings: dict[str, Any]
    """What decides the results: model and adapter digest, prompts, scale, pixel bounds, decoding. Present: always."""
    environment: dict[str, Any]
    """What should not decide them: versions, device, dtype, batch size. Present: always."""
