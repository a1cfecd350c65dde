"""Records: the JSON objects that commands read and write, one per item.

Fields that a record class does not declare are kept as they are, in their order, and written after the declared
ones. Numbers are never rounded and never NaN or infinite. Steps make their records with ``SomeRecord.of(item, ...)``
and `error_line`: a field of the input with the name of a declared one is kept as ``input.NAME``, and the records of
one run have the same declared fields, null where there is no value, `error` included.

Each field has a docstring with its meaning, its unit, and when it is present; docs/make_records.py makes the
reference page from them. This module reads and writes no files (see `jsonl`, `sources`).
"""

import logging
from collections.abc import Collection, Mapping
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, ValidationError, model_validator

from realqa_cli.errors import ItemError, RecordError

log = logging.getLogger("realqa")

Number = StrictInt | StrictFloat
"""A number in the input: an int stays an int, and a bool or a string is not accepted."""
Pair = Annotated[list[float], Field(min_length=2, max_length=2)]


class Subject(Protocol):
    """The item that a record is about, such as `sources.Item`."""

    @property
    def name(self) -> str:
        """The path as it is printed."""

    @property
    def kind(self) -> Literal["image", "video"]:
        """The field that holds the name."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """The other fields of the input, which pass through."""


class Record(BaseModel):
    """Base of all records: the item, the declared fields, and undeclared ones (`model_extra`)."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, defer_build=True)
    nullable: ClassVar[Collection[str]] = ()  # fields that are written as null where they were not set

    image: str | None = None
    """Path or name of the photo, as given. Present: for photos."""
    video: str | None = None
    """Path or name of the video, as given. Present: for videos."""

    @classmethod
    def of(cls, subject: Subject, **own: Any) -> Self:
        """The result for an input: `own` fields, then its passed-through fields that are not declared here.

        Raises `RecordError` for a value that the class does not allow, such as a score that is NaN.
        """
        return cls.parse(
            {subject.kind: subject.name, **own, **passed_fields(subject, cls.model_fields)}, where=subject.name
        )

    @classmethod
    def parse(cls, record: Mapping[str, Any], *, where: str | None = None) -> Self:
        """`model_validate` with an error that a user understands: `RecordError`, naming field and `where`."""
        try:
            return cls.model_validate(record)
        except ValidationError as error:
            flaws = error.errors(include_url=False, include_context=False)
            what = "; ".join(f"{'.'.join(map(str, flaw['loc']))}: {flaw['msg']}".lstrip(": ") for flaw in flaws)
            raise RecordError(f"not a valid {cls.__name__}: {what}", type="record", where=where) from error

    def to_line(self) -> dict[str, Any]:
        """The JSON-ready fields: image or video, declared ones, then the others, `error` last.

        Unset fields are left out, except those in `nullable`.
        """
        dump = self.model_dump(exclude_unset=True)
        declared = {key: dump.get(key) for key in type(self).model_fields if key in dump or key in self.nullable}
        line = {key: list(value) if isinstance(value, tuple) else value for key, value in {**declared, **dump}.items()}
        return line | {"error": line.pop("error")} if "error" in self.nullable else line


class ErrorField(BaseModel):
    """The `error` field of a record: why the item has no result."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    type: str
    """Short stable word, such as `missing`, `decode`, `record`, `unparsed`, `server`. Present: always."""
    message: str
    """What is wrong, where, and the remedy if there is one; one line. Present: always."""


class ImageRecord(Record):
    """Input of the commands that read photos or videos: an item, with its mean opinion score if it is known."""

    mos: Number | None = None
    """Mean opinion score, not rescaled; DMOS reversed. Unit: points of `mos_range`. Present: where the input has it."""
    mos_range: tuple[Number, Number] | None = None
    """Lowest and highest value of the scale of `mos`. Unit: points. Present: where the input has it."""
    error: ErrorField | None = None
    """Failure of an earlier step. Present: in place of a result, for an item that failed."""

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if self.mos_range and not self.mos_range[0] < self.mos_range[1]:
            raise ValueError("mos_range must be [lowest, highest]")
        return self


class ScoreRecord(Record):
    """Output of `realqa score`."""

    nullable: ClassVar[Collection[str]] = ("content", "error")

    score: float
    """Mean of the distribution; for a greedy answer the number in it. Unit: points of `scale`. Present: always."""
    mode: float | None
    """Most likely score. Unit: points of `scale`. Present: always; null for a regression head, and for a video of
    which only single frames were scored."""
    std: float | None
    """Standard deviation of the distribution. Unit: points of `scale`. Present: always; null as `mode`, and for
    greedy answers."""
    interval: Pair | None
    """Central 90 % of the distribution. Unit: points of `scale`. Present: always; null as `std`."""
    mass: float | None
    """Probability of all numerals on the scale together before renormalising; with decode `topk` of those that the
    server reported. Unit: 0 to 1. Present: always; null as `std`."""
    scale: Pair
    """Lowest and highest score that the model can give. Unit: points. Present: always."""
    method: str
    """Question and read-out: `direct`, `cot`, `levels`, `think` or `regression`. Present: always."""
    decode: str | None
    """`exact`, `topk` (from a server's top log-probabilities) or `greedy`. Present: always; null for regression."""
    text: str | None
    """Answer sentence: with `mode` for exact decoding, as generated for greedy. Present: always; null as `mode`."""
    run: str
    """Id of the manifest with the settings and versions, in `FILE.run.json` or on stderr. Present: always."""
    percentile: float | None = None
    """Scores of the run that are lower, equal ones counted by half. Unit: percent, 0 to 100. Present: where all scores
    are known before a record is written: with `--top`, and in `.jsonl.gz`, `.csv` and `.parquet` outputs; null in
    failed items."""
    percentile_reference: float | None = None
    """Public photographs with a lower score by the same model with the same settings. Unit: percent, 0 to 100. Present:
    where realqa ships the distribution of their scores, as for the bundled model; null for videos."""
    content: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    """Digest of the file's bytes. Present: where the file could be read."""
    flags: list[Literal["blank", "tiny", "extreme_aspect", "upscaled"]] = Field(default_factory=list)
    """Why the score means little: `blank` (one color, up to noise), `tiny` (a side under 96 pixels), `extreme_aspect`
    (one side over 5 times the other), `upscaled` (no detail at its own resolution). Present: always; mostly empty."""
    scores: dict[str, Any] | None = None
    """By question, its `score`, `mode`, `std`, `interval`, `mass`, `text`, ...; the record's other fields are those of
    the first question. Present: with `--ask`."""
    distribution: list[Pair] | None = None
    """Every `[value, probability]` with a probability above 1e-6. Present: with `--distribution`."""
    measured: dict[str, Any] | None = None
    """Of the decoded photo: `sharpness` (energy of its finest detail in the sharpest tenth), `pixels` (width and
    height), `taken` (EXIF time, or null), `phash` and `thumbnail` (fingerprint). Present: with `--measured`; null for
    videos."""
    frames: list[dict[str, Any]] | None = None
    """Scored frames of a video: `time` in seconds, and `score` or `error`. Present: with `--per-frame`; null for
    photos."""
    calibrated: float | None = None
    """Expected label by a calibration. Unit: points of `calibrated_range`. Present: with `--calibration`, and after
    `realqa calibrate apply`; null in an error record."""
    calibrated_interval: Pair | None = None
    """Where the label lies with the probability that the calibration was fitted for. Unit: points of
    `calibrated_range`. Present: as `calibrated`."""
    calibrated_range: Pair | None = None
    """Lowest and highest label. Present: as `calibrated`."""
    calibration: str | None = None
    """Id of the calibration, 16 hex digits. Present: as `calibrated`."""
    calibration_warnings: list[Literal["other_model", "other_scale", "out_of_range"]] | None = None
    """Why the calibration may not hold: it was fitted to another model or other settings, to another scale, or to no
    score as low or as high as this one. Present: as `calibrated`; mostly empty."""
    error: ErrorField | None = None
    """Why there is no score. Present: always; null for a result, and in an error record all other fields are null."""

    @model_validator(mode="after")
    def _check_subject(self) -> Self:
        if (self.image is None) == (self.video is None):
            raise ValueError("exactly one of image and video is needed")
        return self


class CotRecord(ScoreRecord):
    """Output of `realqa score --method cot`: the score after the attributes, and the direct one."""

    nullable: ClassVar[Collection[str]] = ("unparsed", "content", "error")

    form: Literal["regular", "natural"]
    """Form of the chain of thought. Present: always."""
    reasons: bool
    """Whether the chain of thought includes reasons. Present: always."""
    attributes: dict[str, Any]
    """Attributes that the answer states before the score, by key. Present: always; empty for the form natural,
    whose text is not parsed for attributes."""
    score_direct: float | None
    """Score of the direct question, for comparison. Unit: points of `scale`. Present: always; null where a greedy
    answer to that question holds no score."""
    unparsed: list[str] | None = None
    """Attributes that a greedy answer does not state, or not in known words. Present: where there are any."""
    unreliable: list[str] | None = None
    """Attributes whose agreement with held-out labels is not above chance. Present: where there are any."""


class LevelRecord(ScoreRecord):
    """Output of `realqa score --method levels`."""

    levels: dict[str, float]
    """Probability of each of the words, from best to worst. Unit: 0 to 1, they sum to 1. Present: always."""


class ThoughtRecord(ScoreRecord):
    """Output of `realqa score` with a preset of a reasoning model: the score after the model's own thought."""

    nullable: ClassVar[Collection[str]] = ("samples", "content", "error")

    samples: int | None
    """Number of random thoughts, whose distributions are averaged. Present: always; null for the greedy thought."""
    unparsed_samples: int | None = None
    """Those of the thoughts that end without a number; they do not count. Present: with `--samples`."""
    thoughts: list[str] | None = None
    """The answer after each random thought. Present: with `--samples`."""


class LabelRecord(Record):
    """Output of `realqa self-label` and `realqa annotate`: the attributes of an item, and who gave them."""

    nullable: ClassVar[Collection[str]] = ("unparsed", "run", "content", "error")

    attributes: dict[str, Any]
    """Values by attribute key: `{"score", "reason"}` for ratings (1 to 10), `{"subject", "background"}`, one of
    the attribute's options for the others. Present: always."""
    annotator: dict[str, Any]
    """Who gave them: `model`, and with `annotate` the hash of the `prompt`; after refinement also `person`,
    `created_at`, `updated_at` and `lead_time`. Present: always."""
    confidence: dict[str, float] | None = None
    """Probability of each chosen option among all options. Unit: 0 to 1. Present: in labels of `self-label` by a
    model that reports probabilities."""
    refined: bool
    """Whether a person checked the label. Present: always."""
    cost_usd: float | None = None
    """What the replies for this item cost. Unit: US dollars. Present: in labels of `annotate`; null where the
    price of the model is unknown."""
    screen: dict[str, bool] | None = None
    """Curation flags `subtitle`, `watermark` and `stitched`. Present: with `annotate --screen`."""
    unparsed: list[str] | None = None
    """Attributes that a written answer does not state, or not in known words. Present: where there are any."""
    unreliable: list[str] | None = None
    """Attributes whose agreement with held-out labels is not above chance, by the model's `realqa.json`. Present:
    where there are any."""
    changed: list[str] | None = None
    """Attributes that a person changed. Present: after refinement."""
    original: dict[str, Any] | None = None
    """The model's attributes before a person changed them. Present: after refinement."""
    run: str | None = None
    """Id of the manifest, as in scores. Present: in labels of `self-label`."""
    content: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    """Digest of the file's bytes. Present: where the file could be read; else null."""
    error: ErrorField | None = None
    """Why there are no attributes. Present: always; null for a result, and in an error record all other fields are
    null."""


def error_line(
    subject: Subject,
    error: ItemError,
    *,
    content: str | None = None,
    instead_of: type[Record] = Record,
    optional: Collection[str] = (),
) -> dict[str, Any]:
    """The JSON-ready record of an item that failed.

    content: digest of the file, where it could be read.
    instead_of: the class of the record that a success would have given; its required fields, and the lists that
    every result has, are null here.
    optional: its other fields that the successes of this run have.
    """
    fields = instead_of.model_fields
    present = {*instead_of.nullable, *optional} - {"error"}
    present |= {key for key, info in fields.items() if info.is_required() or info.default_factory is not None}
    line: dict[str, Any] = {key: None for key in fields if key in present}
    if content is not None:
        line["content"] = content
    passed = passed_fields(subject, {*fields, "content", "error"})
    return {subject.kind: subject.name, **line, **passed, "error": error.as_field()}


_REPORTED: set[str] = set()  # names of input fields that were reported in this process


def passed_fields(subject: Subject, declared: Collection[str]) -> dict[str, Any]:
    """The fields of the input that pass through; those with a declared name as ``input.NAME``, reported once."""
    fields = {key: value for key, value in subject.fields.items() if key != "error"}
    clashing = {key for key, value in fields.items() if key in declared and value is not None}
    if new := clashing - _REPORTED:
        _REPORTED.update(new)
        names = ", ".join(f"input.{key}" for key in sorted(new))
        log.warning("%s: fields of the input that realqa writes itself are kept as %s", subject.name, names)
    passed: dict[str, Any] = {}
    for key, value in fields.items():
        if key in clashing:
            passed[_free_name(key, fields)] = value
        elif key not in declared:
            passed[key] = value
    return passed


def _free_name(key: str, taken: Collection[str]) -> str:
    name = f"input.{key}"
    while name in taken:
        name = f"input.{name}"
    return name
