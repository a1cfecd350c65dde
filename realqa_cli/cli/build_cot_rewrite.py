"""The part of `realqa build-cot` that has a server reword: manifest, going on with a file, summary."""

import json
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import typer

from realqa_cli import __version__
from realqa_cli.cli import options as o
from realqa_cli.cli.console import Reporter
from realqa_cli.errors import OutputError, UsageError
from realqa_cli.io.appender import Appender
from realqa_cli.io.manifest import Manifest, versions
from realqa_cli.io.run_files import read_runs, write_runs

if TYPE_CHECKING:
    from realqa_cli.steps.build_cot.build_cot import BuildSettings
    from realqa_cli.steps.build_cot.drafts import Draft
    from realqa_cli.steps.build_cot.rewriting import Rewriter


def of_rewriting(line: Mapping[str, Any]) -> Hashable | None:
    """What makes two lines the same work: what their rewording is of; None for lines of no server."""
    match line.get("rewrite"):
        case {"of": str(of)}:
            return of
    return None


class Rewrites:
    """A server that rewords what a run composes."""

    def __init__(self, rewriter: "Rewriter", settings: "BuildSettings", output: Path | None, talk: Reporter) -> None:
        self.rewriter, self.settings, self.output, self.talk = rewriter, settings, output, talk

    @classmethod
    def of(cls, context: typer.Context, settings: "BuildSettings", output: Path | None, talk: Reporter) -> Self | None:
        """From the options; None without a server. Raises UsageError, also for a server that is not there."""
        url, model = context.params["rewrite_server"], context.params["rewrite_model"]
        if url is None:
            if model is not None:
                raise UsageError("is a server's", where="--rewrite-model", remedy="add --rewrite-server URL")
            return None
        if settings.stage != "score" or "cot" not in settings.formats:
            remedy = "leave it out, or ask for --stage score with the format cot"
            raise UsageError("rewords the format cot only", where="--rewrite-server", remedy=remedy)
        from realqa_cli.backends.server.client import ServerClient
        from realqa_cli.steps.build_cot.rewriting import Rewriter

        client = ServerClient(o.server_of(context, url, model))
        client.reach()
        return cls(Rewriter(client), settings, output, talk)

    def lines(self, drafts: Iterable["Draft"], file: Appender | None) -> Iterator[dict[str, Any]]:
        """The drafts' lines, reworded; without what `file` has from an earlier run. Raises UsageError."""
        with self.rewriter.client, self.talk.bar("rewriting", None) as bar:
            if file is not None:
                self.rewriter.done = file.take
            self.rewriter.run = self._begin()
            for line in self.rewriter.rewrite(drafts):
                yield line
                if "rewrite" in line:
                    bar.advance()

    def _begin(self) -> str:
        """Notes the run beside the file or on stderr; its id. Raises OutputError for another run's file."""
        client = self.rewriter.client
        environment = {"model": client.model, "server": client.address, "realqa": __version__}
        manifest = Manifest(
            "build-cot",
            {**asdict(self.settings), "rewrite": self.rewriter.settings()},
            {**environment, "versions": versions("httpx2")},
        )
        told = json.loads(json.dumps(manifest.as_json()))  # as a file would give it
        if self.output is None:
            self.talk.manifest(told)
            return manifest.run
        going_on = self.output.stat().st_size > 0
        runs = read_runs(self.output) if going_on else {}
        if going_on and not any(run.get("settings") == told["settings"] for run in runs.values()):
            what = "holds conversations that were made otherwise"
            remedy = "choose another output, or replace them by --overwrite"
            raise OutputError(what, where=str(self.output), remedy=remedy)
        write_runs(self.output, runs | {manifest.run: told})
        return manifest.run

    def notes(self) -> list[str]:
        """How many chains of thought were reworded, and why others were not."""
        from realqa_cli.steps.build_cot.rewriting import KEPT, REWRITTEN

        counts = self.rewriter.counts
        before = f"{counts['done before']} done before, " if counts["done before"] else ""
        asked = sum(counts[outcome] for outcome in (REWRITTEN, *KEPT))
        kept = ", ".join(f"{counts[outcome]} {outcome}" for outcome in KEPT if counts[outcome])
        stayed = f"; kept as composed: {kept}" if kept else ""
        return [f"{before}{counts[REWRITTEN]} of {asked} reworded by {self.rewriter.client.model}{stayed}"]
