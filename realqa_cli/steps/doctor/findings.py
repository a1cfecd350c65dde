"""The result of one check."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["ok", "warning", "failed", "skipped"]
"""ok: as it should be; warning: worth knowing; failed: scores would be wrong without notice, or a run would fail;
skipped: the check does not apply here."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    check: its name.  message: what was found, one line.  remedy: what to do about it.  values: the figures.
    """

    check: str
    status: Status
    message: str
    remedy: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    def as_record(self) -> dict[str, Any]:
        """JSON-ready, as `DoctorRecord`."""
        return {**vars(self), "values": dict(self.values)}
