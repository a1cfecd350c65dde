"""What `Scorer` returns: records that are plain dicts and lists, and that show themselves in consoles and notebooks."""

import base64
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realqa_cli.errors import MediaError, UsageError, escaped
from realqa_cli.io.flat import flat
from realqa_cli.io.locate import shortened

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL.Image import Image

Progress = bool | Callable[[int, int | None], object]
"""Whether to show a progress bar, or a function that gets the number of finished items and of all, if it is known."""

THUMBNAIL = 160
"""Longer side of a thumbnail in pixels."""
SHOWN = 50
"""Most records that a list shows in a notebook."""


class ScoreResult(dict[str, Any]):
    """A score record: a dict with the fields of `ScoreRecord`.

    In a notebook it shows its photo. Photos that are not files keep a thumbnail for that purpose.
    """

    thumbnail: bytes | None = None
    """JPEG of a photo in memory; None for files, whose thumbnails are made when they are shown."""

    @property
    def name(self) -> str:
        """The name of the photo or video."""
        return str(self.get("image") or self.get("video"))

    def __repr__(self) -> str:
        return f"<{escaped(self.name)}: {_outcome(self)}>"

    def _repr_html_(self) -> str:
        return _table([self])


class ScoreResults(list[ScoreResult]):
    """The score records of several photos, in their order: a list."""

    def __repr__(self) -> str:
        lines = [f"  {record!r}" for record in self[:SHOWN]]
        more = [f"  ... and {len(self) - SHOWN} more"] if len(self) > SHOWN else []
        return "\n".join([f"{len(self)} score records:", *lines, *more]) if self else "no score records"

    def _repr_html_(self) -> str:
        more = f"<p>... and {len(self) - SHOWN} more</p>" if len(self) > SHOWN else ""
        return _table(self[:SHOWN]) + more

    def to_pandas(self) -> "DataFrame":
        """A data frame with a row for each record and the columns of `realqa score -o FILE.csv` (`io.flat`).

        Raises UsageError if pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            remedy = "install it: pip install 'realqa[pandas]'"
            raise UsageError("needs pandas, which is not installed", where="to_pandas", remedy=remedy) from error
        return DataFrame([flat(record) for record in self])


@dataclass(frozen=True, repr=False)
class Comparison:
    """Which of two photos is better, from the exact distributions of their scores.

    p_better: P(A > B) for independent draws, ties counted by half; 0 to 1.
    level: probability from which the comparison is decided.
    a, b: the records.
    """

    p_better: float
    level: float
    a: ScoreResult
    b: ScoreResult

    @property
    def decided(self) -> bool:
        """Whether P(A > B) or P(B > A) reaches the level; otherwise it is too close to call."""
        return max(self.p_better, 1 - self.p_better) >= self.level

    @property
    def better(self) -> ScoreResult | None:
        """The record of the better photo; None if it is too close to call."""
        if not self.decided:
            return None
        return self.a if self.p_better > 0.5 else self.b

    def __repr__(self) -> str:
        names = f"A {escaped(self.a.name)} {self.a['score']:.2f}, B {escaped(self.b.name)} {self.b['score']:.2f}"
        return f"<P(A > B) = {self.p_better:.3f}: {self._verdict()}; {names}>"

    def _repr_html_(self) -> str:
        return f"<p><b>{self._verdict()}</b>: P(A &gt; B) = {self.p_better:.3f}</p>" + _table([self.a, self.b], "AB")

    def _verdict(self) -> str:
        if not self.decided:
            return "too close to call"
        return f"{'A' if self.p_better > 0.5 else 'B'} is better"


def report_progress(results: Iterator[ScoreResult], total: int | None, progress: Progress) -> Iterator[ScoreResult]:
    """The same results; each is reported before it is passed on."""
    if progress is False:
        return results
    return _with_bar(results, total) if progress is True else _with_calls(results, total, progress)


def _with_bar(results: Iterator[ScoreResult], total: int | None) -> Iterator[ScoreResult]:
    from tqdm import tqdm

    yield from tqdm(results, total=total, unit="photo")


def _with_calls(
    results: Iterator[ScoreResult], total: int | None, call: Callable[[int, int | None], object]
) -> Iterator[ScoreResult]:
    for done, result in enumerate(results, start=1):
        call(done, total)
        yield result


def thumbnail_of(photo: "Image") -> bytes:
    """A small JPEG of an RGB photo."""
    small = photo.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _table(records: Iterable[ScoreResult], labels: str = "") -> str:
    rows = "".join(_row(record, labels[i : i + 1]) for i, record in enumerate(records))
    return f"<table><thead><tr><th></th><th>photo</th><th>score</th></tr></thead><tbody>{rows}</tbody></table>"


def _row(record: ScoreResult, label: str) -> str:
    jpeg = record.thumbnail or _thumbnail_of_file(record)
    picture = f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">' if jpeg else ""
    name = escape(f"{label}: {record.name}" if label else record.name)
    return f"<tr><td>{picture}</td><td>{name}</td><td>{escape(_outcome(record))}</td></tr>"


def _outcome(record: Mapping[str, Any]) -> str:
    """The score with its standard deviation and scale, or the error."""
    if record.get("error") is not None:
        name = str(record.get("image") or record.get("video"))
        message = shortened(escaped(record["error"]["message"].removeprefix(f"{name}: ")))
        return f"error {record['error']['type']}: {message}"
    low, high = record["scale"]
    spread = "" if record["std"] is None else f" ± {record['std']:.2f}"
    flags = f" ({', '.join(record['flags'])})" if record["flags"] else ""
    return f"{record['score']:.2f}{spread} on {low:g}-{high:g}{flags}"


def _thumbnail_of_file(record: ScoreResult) -> bytes | None:
    """None for a video, and for a photo that cannot be opened any more."""
    from realqa_cli.media.decode import DecodeOptions
    from realqa_cli.media.photo import open_photo

    if record.get("image") is None or record.get("error") is not None:
        return None
    try:
        return thumbnail_of(open_photo(Path(record["image"]), options=DecodeOptions(draft_pixels=THUMBNAIL**2)))
    except MediaError:
        return None
