"""What a line of JSON Lines holds: the fields that realqa knows, and whatever else the user put there.

Fields that a record class does not declare are kept as they are, in their order, and written back after the
declared ones. Numbers are never rounded and never NaN or infinite. Steps make their lines with
``SomeRecord.of(item, ...)`` and `error_line`, so that an old result that came in with the input can neither
overwrite the new one nor stand beside an error as if it were new.

This module reads and writes no files (that is `jsonl`) and does not know where items come from (`sources`).
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, ValidationError, model_validator

from realqa_cli.errors import ItemError, RecordError

Number = StrictInt | StrictFloat
"""A number of the user's: an int stays an int on the way through, and a bool or a text is none."""
Pair = Annotated[list[float], Field(min_length=2, max_length=2)]


class Subject(Protocol):
    """What a record is about; `sources.Item` is one."""

    @property
    def name(self) -> str:
        """The path as it is printed."""

    @property
    def kind(self) -> Literal["image", "video"]:
        """The field that the name stands in."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """The other fields of the input, to be passed through."""


class Record(BaseModel):
    """A line: what it is about, declared fields, and undeclared ones (`model_extra`)."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    image: str | None = None
    video: str | None = None

    @classmethod
    def of(cls, subject: Subject, **own: Any) -> Self:
        """The result for an input: `own` fields, then its passed-through fields that are not declared here.

        Raises `RecordError` for a value that the class does not allow, such as a score that is NaN.
        """
        passed = {key: value for key, value in subject.fields.items() if key not in cls.model_fields}
        return cls.parse({subject.kind: subject.name, **own, **passed}, where=subject.name)

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
        """The JSON-ready fields: image or video, declared ones, then the others. Unset ones are left out."""
        dump = self.model_dump(exclude_unset=True)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in dump.items()}


class ErrorField(BaseModel):
    """Why there is no result. `type` is a short stable word."""

    model_config = ConfigDict(extra="allow")

    type: str
    message: str


class ImageRecord(Record):
    """A line of input: a photo or video, with its mean opinion score if that is known.

    mos: on whatever scale the data set uses.  mos_range: that scale's lowest and highest value.
    """

    mos: Number | None = None
    mos_range: tuple[Number, Number] | None = None
    error: ErrorField | None = None

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if self.mos_range and not self.mos_range[0] < self.mos_range[1]:
            raise ValueError("mos_range must be [lowest, highest]")
        return self


class ScoreRecord(Record):
    """A line of `realqa score`.

    score, mode, std: mean, most likely value and standard deviation of the distribution, on `scale`.
    interval: its central 90 %.  mass: the probability, before renormalising, of all numerals on the scale;
    with the decode "topk" of those that the server's likeliest tokens led to.
    text: the answer sentence.  run: the manifest's id.  content: the file's bytes, as `media.content_id`.
    distribution: every [value, probability].  What a read-out does not know is null: std, interval and mass
    of a greedy answer, all but the score of a regression head, or of a video of which only frames were seen.
    frames: of a video, on demand: the "time" of each in seconds, and its "score" as a photo (or "error").
    """

    score: float
    mode: float | None
    std: float | None
    interval: Pair | None
    mass: float | None
    scale: Pair
    method: str
    decode: str | None
    text: str | None
    run: str
    content: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    distribution: list[Pair] | None = None
    frames: list[dict[str, Any]] | None = None

    @model_validator(mode="after")
    def _check_subject(self) -> Self:
        if (self.image is None) == (self.video is None):
            raise ValueError("exactly one of image and video is needed")
        return self


class CotRecord(ScoreRecord):
    """A line of `realqa score --method cot`: the score after the attributes, and the one without them.

    score_direct: null where a written answer does not tell it.  unparsed: attributes that it does not tell.
    """

    attributes: dict[str, Any]
    score_direct: float | None
    unparsed: list[str] | None = None


class LevelRecord(ScoreRecord):
    """A line of `realqa score --method levels`: the probability of each of the words, from best to worst."""

    levels: dict[str, float]


class LabelRecord(Record):
    """A line of `realqa self-label` and `realqa annotate`: a photo's attributes, and who gave them.

    attributes: by key; a rating is {"score", "reason"}, the subject {"subject", "background"}, others texts.
    annotator: at least the "model".  confidence: by attribute, 0 to 1.  refined: whether a person checked it.
    cost_usd: what the replies cost, null where the price is unknown.  screen: the curation flags.
    unparsed: the attributes that a written answer does not tell, or not in words that are known.
    """

    attributes: dict[str, Any]
    annotator: dict[str, Any]
    confidence: dict[str, float] | None = None
    refined: bool
    cost_usd: float | None = None
    screen: dict[str, bool] | None = None
    unparsed: list[str] | None = None
    run: str | None = None
    content: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None


def error_line(
    subject: Subject, error: ItemError, *, content: str | None = None, instead_of: type[Record] = Record
) -> dict[str, Any]:
    """The JSON-ready record of an item that failed, in its place.

    `content`: the file's id, where it could be read.  `instead_of`: what the record would have been; fields
    that this class declares are old results and do not pass through.
    """
    replaced = {*instead_of.model_fields, "content", "error"}
    passed = {key: value for key, value in subject.fields.items() if key not in replaced}
    known = {} if content is None else {"content": content}
    return {subject.kind: subject.name, **passed, **known, "error": error.as_field()}
