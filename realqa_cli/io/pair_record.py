"""The record that `realqa compare` writes; `records` has those of scores and labels."""

from collections.abc import Collection
from typing import Any, ClassVar, Literal, Self

from realqa_cli.domain.pairs import better_side, decision_margin
from realqa_cli.errors import ItemError
from realqa_cli.io.pairs import PhotoPair
from realqa_cli.io.records import ErrorField, Record, passed_fields


class PairRecord(Record):
    """Output of `realqa compare`: which of two photos is better. Fields of the table of pairs pass through."""

    nullable: ClassVar[Collection[str]] = ("content_a", "content_b", "error")

    image_a: str
    """Path or name of the first photo or video, A, as given. Present: always."""
    image_b: str
    """Path or name of the second one, B. Present: always."""
    p_a_better: float
    """Probability that A is better than B: that of a higher score in independent draws, equal ones counted by half; by
    the model's own comparison the mean of `p_a_shown_first` and `p_a_shown_second`. Unit: 0 to 1. Present: always."""
    decided: bool
    """Whether the larger of `p_a_better` and 1 - `p_a_better` is at least 0.75; otherwise it is too close to call.
    Present: always."""
    better: Literal["a", "b"] | None
    """The better photo. Present: always; null if it is too close to call."""
    margin: float
    """By how much that probability is above 0.75; negative if it is too close to call. Unit: -0.25 to 0.25. Present:
    always."""
    by: Literal["distribution", "model"]
    """`distribution`: from the exact distributions of both scores; `model`: the model sees both photos and chooses.
    Present: always."""
    score_a: float | None = None
    """Score of A, as by `realqa score`. Unit: points of the model's scale. Present: by distribution."""
    score_b: float | None = None
    """Score of B. Unit: points of the model's scale. Present: by distribution."""
    std_a: float | None = None
    """Standard deviation of the distribution of A. Unit: points of the model's scale. Present: by distribution."""
    std_b: float | None = None
    """Standard deviation of the distribution of B. Unit: points of the model's scale. Present: by distribution."""
    p_a_shown_first: float | None = None
    """Probability of A where it is shown first. Unit: 0 to 1. Present: by the model."""
    p_a_shown_second: float | None = None
    """Probability of A where it is shown second. Unit: 0 to 1. Present: by the model."""
    position_bias: float | None = None
    """Probability of the photo that is shown first, over both orders, less 0.5; 0 for a model that ignores the order.
    Unit: -0.5 to 0.5. Present: by the model."""
    mass: float | None = None
    """Probability of both answers together before renormalising, the mean of both orders. Unit: 0 to 1. Present: by the
    model."""
    run: str
    """Id of the manifest with the settings and versions, in `FILE.run.json` or on stderr. Present: always."""
    content_a: str | None = None
    """Digest of the bytes of A. Present: where the file could be read."""
    content_b: str | None = None
    """Digest of the bytes of B. Present: where the file could be read."""
    error: ErrorField | None = None
    """Why there is no comparison. Present: always; null for a result, and in an error record all other fields are
    null."""

    @classmethod
    def of_pair(cls, pair: PhotoPair, p_a_better: float, **own: Any) -> Self:
        """The result for a pair. Raises `RecordError` for a probability that is NaN."""
        decision = {
            "p_a_better": p_a_better,
            "decided": decision_margin(p_a_better) >= 0,
            "better": better_side(p_a_better),
            "margin": decision_margin(p_a_better),
        }
        passed = passed_fields(pair, cls.model_fields)
        return cls.parse({**_names(pair), **decision, **own, **passed}, where=pair.name)


PAIR_FIELDS = {
    "distribution": ("score_a", "score_b", "std_a", "std_b"),
    "model": ("p_a_shown_first", "p_a_shown_second", "position_bias", "mass"),
}
"""The fields of the two ways to compare, which their error records have, too."""


def pair_error_line(pair: PhotoPair, error: ItemError, by: str) -> dict[str, Any]:
    """The JSON-ready record of a pair that cannot be compared; it has the fields of a result, null."""
    fields = PairRecord.model_fields
    required = [name for name, info in fields.items() if info.is_required()]
    present = [name for name in fields if name in (*required, *PAIR_FIELDS[by], "content_a", "content_b")]
    line = {**dict.fromkeys(present), **_names(pair)}
    return {**line, **passed_fields(pair, {*fields}), "error": error.as_field()}


def _names(pair: PhotoPair) -> dict[str, str]:
    return {"image_a": pair.a.name, "image_b": pair.b.name}
