"""The record that `realqa explain` writes; `records` has those of scores and labels."""

from collections.abc import Collection
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from realqa_cli.io.records import ErrorField, Pair, Record


class ExplainRecord(Record):
    """Output of `realqa explain`: what moved the score of a photo."""

    nullable: ClassVar[Collection[str]] = ("content", "error")

    score: float
    """Expected score, as by `realqa score --method direct`. Unit: points of `scale`. Present: always."""
    std: float
    """Standard deviation of the distribution. Unit: points of `scale`. Present: always."""
    interval: Pair
    """Central 90 % of the distribution. Unit: points of `scale`. Present: always."""
    mass: float
    """Probability of all scores on the scale. Unit: 0 to 1. Present: always."""
    scale: Pair
    """Lowest and highest score. Unit: points. Present: always."""
    measures: dict[str, Any]
    """Of the photo at its full size: `sharpness` (as in scores with `--measured`), `noise` (standard deviation in
    levels of 255), `clipped_highlights` and `clipped_shadows` (per cent of the pixels), `mean_luminance` (per cent of
    white) and `pixels` (width, height). Present: always."""
    attributes: dict[str, Any] | None
    """Answers of the chain of thought. Present: always; null for a model without attributes."""
    score_cot: float | None
    """Expected score after this chain of thought. Unit: points of `scale`. Present: always; null as `attributes`."""
    flips: list[dict[str, Any]] | None
    """What changes if one answer is exchanged: `attribute`, `answer`, `exchanged`, `score` (after it) and `change`
    (from `score_cot`). The largest change first. Present: always; null as `attributes`."""
    not_used: list[str]
    """Attributes that are not flipped: the model's answers do not agree with held-out labels above chance. Present:
    always; may be empty."""
    occlusion: dict[str, Any]
    """`contributions`: by how many points the score is higher with each group of visual tokens than without it, in
    rows; `rows`, `columns`: the edges of the groups, from 0 to 1; `tokens`: rows and columns of the visual tokens.
    Present: always."""
    run: str
    """Id of the manifest, as in scores. Present: always."""
    flags: list[Literal["blank", "tiny", "extreme_aspect", "upscaled"]] = Field(default_factory=list)
    """As in scores. Present: always; mostly empty."""
    content: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    """Digest of the file's bytes. Present: where the file could be read; else null."""
    error: ErrorField | None = None
    """Why there is no explanation. Present: always; null for a result, and in an error record all other fields are
    null."""
