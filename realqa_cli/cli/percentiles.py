"""The field `percentile`: where a score is among those of the same run."""

from collections.abc import Mapping
from typing import Any

from realqa_cli.domain.standing import ScoreRanks

Record = Mapping[str, Any]
_AFTER = "mass"  # the field that the percentile follows


class Percentiles:
    """Adds `percentile` to score records, once all of them were added. Implements `export.Derived`.

    Records of runs with equal settings are compared with each other; failed ones get null.
    """

    def __init__(self) -> None:
        self._settings: dict[Any, str] = {}
        self._ranks: dict[str, ScoreRanks] = {}

    def use_runs(self, runs: Mapping[str, Record]) -> None:
        """Take the manifests by run id, which say which runs have equal settings."""
        self._settings |= {run: repr(manifest.get("settings")) for run, manifest in runs.items()}

    def add(self, record: Record) -> None:
        """Take the score of the record into account."""
        if record.get("score") is not None:
            self._ranks.setdefault(self._key(record), ScoreRanks()).add(record["score"])

    def extended(self, record: Record) -> dict[str, Any]:
        """The record with the field; records without scores as they are."""
        if "score" not in record or "scale" not in record:
            return dict(record)
        ranks, score = self._ranks.get(self._key(record)), record["score"]
        return with_percentile(record, None if ranks is None or score is None else ranks.percentile(score))

    def _key(self, record: Record) -> str:
        run = record.get("run")
        return self._settings.get(run, str(run))


def with_percentile(record: Record, percentile: float | None) -> dict[str, Any]:
    """The record with this percentile, after its `mass`."""
    fields: dict[str, Any] = {}
    for name, value in record.items():
        if name != "percentile":
            fields[name] = value
        if name == _AFTER:
            fields["percentile"] = percentile
    return fields if _AFTER in fields else fields | {"percentile": percentile}
