"""The file that `realqa calibrate fit` writes: the curve, its interval, and for which model it holds."""

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from realqa_cli.errors import UsageError, one_line
from realqa_cli.io.jsonl import write_atomic
from realqa_cli.steps.calibrate.curves import Finite, IsotonicCurve, LogisticCurve

FORMAT: Literal[1] = 1


class Calibration(BaseModel):
    """The content of the file.

    target: field of the labels.  bounds: lowest and highest label.  curve: from a score to a label.
    coverage, half_width: of the interval, half_width in points of the labels.
    scale: of the scores.  score_range: lowest and highest score of the labelled photos.
    n: labelled photos.  runs: ids of the runs that the scores came from.  settings: those of the runs, if they
    were known.  validation: held-out figures, for people.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    format: Literal[1] = FORMAT
    kind: Literal["realqa calibration"] = "realqa calibration"
    target: str
    bounds: tuple[Finite, Finite]
    curve: Annotated[IsotonicCurve | LogisticCurve, Field(discriminator="kind")]
    coverage: Annotated[float, Field(gt=0, lt=1)]
    half_width: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    scale: tuple[Finite, Finite]
    score_range: tuple[Finite, Finite]
    n: int
    runs: tuple[str, ...] = ()
    settings: dict[str, Any] | None = None
    validation: dict[str, Any] = {}

    @property
    def ident(self) -> str:
        """The id of the calibration, 16 hex digits: of what calibrated scores depend on."""
        parts = self.model_dump(mode="json", include={"format", "bounds", "curve", "coverage", "half_width"})
        return blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()

    def write(self, path: Path) -> None:
        """Writes the file atomically."""
        write_atomic(path, json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")

    def is_of(self, run: str | None, settings: Mapping[str, Any] | None) -> bool:
        """Whether scores of this run came from the model and the settings of the labelled ones."""
        if run is not None and run in self.runs:
            return True
        return settings is not None and json.loads(json.dumps(settings)) == self.settings


def read_calibration(path: Path) -> Calibration:
    """Reads the file. Raises UsageError for one that is not a calibration."""
    remedy = "give a file that `realqa calibrate fit` wrote"
    try:
        return Calibration.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        flaw = error.errors(include_url=False)[0]
        what = f"is not a calibration: {'.'.join(map(str, flaw['loc']))}: {flaw['msg']}"
        raise UsageError(what, where=str(path), remedy=remedy) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot be read: {one_line(error)}", where=str(path), remedy=remedy) from error
