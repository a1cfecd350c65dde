"""weights.json: what `realqa composite fit` learnt, small enough to read, and all that `apply` needs.

The file says with which code each option of an attribute was weighed, so that a later change of the
vocabulary's codes cannot change what old weights mean.
"""

import json
import math
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from realqa_cli.domain.attributes import ATTRIBUTES, RATING_MAX, RATING_MIN, exposure_quality
from realqa_cli.errors import UsageError
from realqa_cli.io.jsonl import write_atomic

FORMAT: Literal[1] = 1

Finite = Annotated[float, Field(allow_inf_nan=False)]


class AttributeWeight(BaseModel):
    """One attribute.  codes: the number of each option; None for a rating, which is its own.

    weight: the composite's change for one code more.  standardised: in standard deviations of the target for
    one of the attribute; ci95: its interval.  vip: importance.  mean, std: of the codes it was fitted on.
    """

    model_config = ConfigDict(extra="allow")

    codes: dict[str, int] | None
    weight: Finite
    standardised: Finite
    ci95: tuple[Finite, Finite] | None
    vip: Finite
    mean: Finite
    std: Finite


class Weights(BaseModel):
    """The file. composite = intercept + the sum of weight times code, in the target's unit."""

    model_config = ConfigDict(extra="allow")

    format: Literal[1] = FORMAT
    target: str
    n: int
    components: int
    intercept: Finite
    attributes: Annotated[dict[str, AttributeWeight], Field(min_length=1)]
    left_out: dict[str, str] = {}
    cross_validation: dict[str, Any] = {}

    @property
    def ident(self) -> str:
        """What tells two weightings apart, 16 hex digits: of the numbers that a composite depends on."""
        parts = {k: [one.weight, one.mean, one.codes] for k, one in self.attributes.items()}
        text = json.dumps([self.format, self.target, self.intercept, parts], sort_keys=True)
        return blake2b(text.encode(), digest_size=8).hexdigest()

    @property
    def attainable(self) -> tuple[float, float]:
        """The lowest and the highest composite that any attributes can have."""
        low = high = self.intercept
        for one in self.attributes.values():
            codes = one.codes.values() if one.codes is not None else (RATING_MIN, RATING_MAX)
            ends = sorted((one.weight * min(codes), one.weight * max(codes)))
            low, high = low + ends[0], high + ends[1]
        return low, high

    def write(self, path: Path) -> None:
        """Replaces the file as a whole. Raises OutputError."""
        write_atomic(path, json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")


def read_weights(path: Path) -> Weights:
    """Raises UsageError for a file that is missing, damaged, or of a format or vocabulary not known here."""
    where = str(path)
    remedy = "make it by `realqa composite fit ... -o FILE`"
    try:
        fields = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror or error})", where=where, remedy=remedy) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not valid JSON ({error})", where=where, remedy=remedy) from error
    if not isinstance(fields, dict) or "format" not in fields:
        raise UsageError("not a file of weights", where=where, remedy=remedy)
    if fields["format"] != FORMAT:
        what = f"has format {fields['format']!r}, and this version reads {FORMAT}"
        raise UsageError(what, where=where, remedy="fit the weights again, or update realqa")
    try:
        weights = Weights.model_validate(fields)
    except ValidationError as error:
        flaw = error.errors(include_url=False)[0]
        what = f"is damaged: {'.'.join(map(str, flaw['loc']))}: {flaw['msg']}"
        raise UsageError(what, where=where, remedy=remedy) from error
    for key, one in weights.attributes.items():
        attribute = ATTRIBUTES.get(key)
        if attribute is None or not attribute.scored or set(one.codes or ()) != set(attribute.options):
            raise UsageError(f"weighs {key!r} by options that are not known", where=where, remedy=remedy)
    return weights


def codes_of(key: str) -> dict[str, int] | None:
    """The codes that a composite weighs: the vocabulary's, but exposure by its distance from proper."""
    attribute = ATTRIBUTES[key]
    if key == "exposure":
        return {option: exposure_quality(option) for option in attribute.options}
    return dict(zip(attribute.options, attribute.codes, strict=True)) or None


def attribute_code(key: str, value: Any, codes: Mapping[str, int] | None) -> float:
    """The number that a label's value is weighed by; NaN where the label has none.

    Raises ValueError for a value that the attribute does not have.
    """
    if value is None or value == "" or (isinstance(value, Mapping) and value.get("score") is None):
        return math.nan
    attribute = ATTRIBUTES[key]
    return float(attribute.code(value) if codes is None else codes[attribute.normalise(value)])
