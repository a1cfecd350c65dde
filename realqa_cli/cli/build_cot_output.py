"""The output file of `realqa build-cot`, and its rewording by a server: manifest, resuming, summary."""

import json
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import typer

from realqa_cli import __version__
from realqa_cli.cli.option_values import server_of
from realqa_cli.cli.reporter import Reporter
from realqa_cli.domain.wording import plural
from realqa_cli.errors import OutputError, UsageError
from realqa_cli.io.manifest import Manifest, versions
from realqa_cli.io.partial import PartialFile
from realqa_cli.io.run_files import read_runs, write_runs

if TYPE_CHECKING:
    from realqa_cli.steps.build_cot.drafts import Draft
    from realqa_cli.steps.build_cot.rewriting import Rewriter
    from realqa_cli.steps.build_cot.settings import BuildSettings


def _rewriting_key(line: Mapping[str, Any]) -> Hashable | None:
    """What makes two lines the same work: the id of their rewording; None for lines as composed."""
    match line.get("rewrite"):
        case {"of": str(of)}:
            return of
    return None


class Rewrites:
    """The rewording of a run's prose by a server."""

    def __init__(self, rewriter: "Rewriter", settings: "BuildSettings", reporter: Reporter) -> None:
        self.rewriter, self.settings, self.reporter = rewriter, settings, reporter

    @classmethod
    def of(cls, context: typer.Context, settings: "BuildSettings", reporter: Reporter) -> Self | None:
        """From the options; None without a server. Raises UsageError, also where the server does not answer."""
        settings.check()
        url, model = context.params["rewrite_server"], context.params["rewrite_model"]
        if url is None:
            if model is not None:
                remedy = "add --rewrite-server URL"
                raise UsageError("applies to a server", where="--rewrite-model", remedy=remedy)
            return None
        if settings.stage != "score" or "cot" not in settings.formats:
            remedy = "leave it out, or build --stage score with the format cot"
            raise UsageError("rewords the format cot only", where="--rewrite-server", remedy=remedy)
        from realqa_cli.backends.server.client import ServerClient
        from realqa_cli.steps.build_cot.rewriting import Rewriter

        client = ServerClient(server_of(context, url, model))
        client.reach()
        return cls(Rewriter(client), settings, reporter)

    def lines(self, drafts: Iterable["Draft"], file: "ConversationFile | None") -> Iterator[dict[str, Any]]:
        """The drafts' lines, reworded; without those that `file` has from an earlier run. Raises UsageError."""
        with self.rewriter.client, self.reporter.bar("rewriting", None) as bar:
            if file is not None:
                self.rewriter.done, self.rewriter.run = file.take, file.manifest.run
            else:
                manifest = manifest_of(self.settings, self)
                self.rewriter.run = manifest.run
                self.reporter.manifest(manifest.as_json())
            for line in self.rewriter.rewrite(drafts):
                yield line
                if "rewrite" in line:
                    bar.advance()

    def notes(self) -> list[str]:
        """How many chains of thought were reworded, and why others were not."""
        from realqa_cli.steps.build_cot.rewriting import KEPT, REWRITTEN

        counts = self.rewriter.counts
        before = f"{counts['done before']} done before, " if counts["done before"] else ""
        sent = sum(counts[outcome] for outcome in (REWRITTEN, *KEPT))
        kept = ", ".join(f"{counts[outcome]} {outcome}" for outcome in KEPT if counts[outcome])
        as_composed = f"; kept as composed: {kept}" if kept else ""
        return [f"{before}{counts[REWRITTEN]} of {sent} reworded by {self.rewriter.client.model}{as_composed}"]


def manifest_of(settings: "BuildSettings", rewrites: Rewrites | None) -> Manifest:
    """The manifest of a run."""
    environment: dict[str, Any] = {"realqa": __version__}
    if rewrites is None:
        return Manifest("build-cot", asdict(settings), {**environment, "versions": versions()})
    client = rewrites.rewriter.client
    environment |= {"model": client.model, "server": client.address, "versions": versions("httpx2")}
    return Manifest("build-cot", {**asdict(settings), "rewrite": rewrites.rewriter.settings()}, environment)


class ConversationFile:
    """The output file: a context manager that writes the manifest and appends lines.

    A line that an earlier run with the same settings wrote is not written again.
    """

    def __init__(
        self, path: Path, settings: "BuildSettings", rewrites: Rewrites | None, *, resume: bool, overwrite: bool
    ) -> None:
        self.manifest = manifest_of(settings, rewrites)
        self.before = 0
        self._file = PartialFile(path, resume=resume, overwrite=overwrite, key=_rewriting_key)

    def __enter__(self) -> Self:
        """Raises OutputError, also for a file that was made with other settings."""
        earlier = self._file.continues
        manifest = json.loads(json.dumps(self.manifest.as_json()))  # as a file would give it
        runs = read_runs(earlier) if earlier else {}
        if earlier and not any(run.get("settings") == manifest["settings"] for run in runs.values()):
            what = "holds conversations that were built with other settings"
            remedy = "choose another output, or replace them by --overwrite"
            raise OutputError(what, where=str(earlier), remedy=remedy)
        self._file.__enter__()
        write_runs(self._file.part, runs | {self.manifest.run: manifest})
        return self

    def __exit__(self, *raised: Any) -> None:
        self.left = self._file.appender.unclaimed
        self._file.__exit__(*raised)

    def take(self, key: Hashable) -> bool:
        """Whether an earlier run wrote the line with this key."""
        return self._file.appender.take(key)

    def append(self, line: Mapping[str, Any]) -> None:
        """Writes the line, unless an earlier run did. Raises OutputError."""
        self.before += not self._file.appender.append(line)

    def notes(self) -> Iterator[str]:
        """How much an earlier run had done."""
        if self.before:
            yield f"{plural(self.before, 'line')} of an earlier run kept"
        if self.left:
            remedy = "--overwrite leaves them out"
            yield f"lines of an earlier run that do not come from these labels ({remedy}): {self.left}"
