"""What `realqa rank` does with the photos besides ranking them: copies, links and sidecars, and what it reports."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from realqa_cli.cli.reporter import Reporter
from realqa_cli.domain.wording import plural
from realqa_cli.errors import UsageError
from realqa_cli.io.sources import Item
from realqa_cli.steps.rank.placing import Placement
from realqa_cli.steps.rank.sidecars import Marks, SidecarError, sidecars_of, write_sidecar


@dataclass
class RankActions:
    """placements: folders for the kept photos.  xmp: whether sidecars are written.

    overwrite: whether ratings and labels of people are replaced.  dry_run: whether nothing is written.
    """

    placements: Sequence[Placement]
    xmp: bool = False
    overwrite: bool = False
    dry_run: bool = False
    failures: list[str] = field(default_factory=list)
    _sidecars: Counter[str] = field(default_factory=Counter)

    def check(self, sources: Sequence[str]) -> None:
        """Raises UsageError for a folder that cannot be used, and for --dry-run without anything to do."""
        if self.dry_run and not self.placements and not self.xmp:
            remedy = "add --copy-to, --link-to or --xmp, or leave it out"
            raise UsageError("there is nothing to report", where="--dry-run", remedy=remedy)
        for placement in self.placements:
            placement.check(sources)

    def check_items(self, items: Sequence[Item]) -> None:
        """Raises UsageError for photos that are not files of this machine, if their files are to be used."""
        stored = next((item for item in items if item.stored is not None), None)
        if stored is not None and (self.placements or self.xmp):
            what = "--copy-to, --link-to and --xmp apply to files of this machine"
            raise UsageError(what, where=stored.name, remedy="download or unpack the photos first, or leave it out")

    def perform(self, record: Mapping[str, Any]) -> None:
        """Copy, link and mark the photograph of a rank record. Raises OutputError where a folder cannot be written."""
        photo = Path(str(record.get("image") or record.get("video")))
        companions = [Path(name) for name in record["companions"]]
        if record["keep"]:
            for placement in self.placements:
                placement.place([photo, *companions])
        if self.xmp:
            marks = Marks(record["stars"], record["keep"])
            for sidecar in sidecars_of(photo, companions):
                self._mark(sidecar, marks)

    def report(self, reporter: Reporter) -> None:
        """One line for each kind of action."""
        for failure in self.failures:
            reporter.say(failure)
        would = "would be " if self.dry_run else ""
        for placement in self.placements:
            way = {"copy": "copied", "link": "linked"}[placement.way]
            before = f", {placement.there_before} there before" if placement.there_before else ""
            others = placement.others()
            more = f"; it also holds {plural(others, 'file')} that this run did not place" if others else ""
            reporter.say(f"{plural(placement.placed, 'file')} {would}{way} to {placement.folder}{before}{more}")
        if self.xmp:
            counts = self._sidecars
            parts = [f"{plural(counts['written'], 'sidecar')} {would}written"]
            parts += [f"{counts['unchanged']} unchanged"] if counts["unchanged"] else []
            if counts["kept"]:
                parts.append(f"{counts['kept']} with a rating or label of a person, which stays (see --overwrite)")
            parts += [f"{len(self.failures)} failed"] if self.failures else []
            reporter.say(", ".join(parts))

    def _mark(self, sidecar: Path, marks: Marks) -> None:
        try:
            self._sidecars[write_sidecar(sidecar, marks, overwrite=self.overwrite, dry_run=self.dry_run)] += 1
        except SidecarError as error:
            self.failures.append(str(error))
