"""Rewording of chains of thought by a server, for more variety than composing gives (paper Sec. 3.3, R2).

A rewording is used only if it contains every value and invents none (`critique`); otherwise, or if the server
fails for it, the composed text is kept. The line records the outcome, so that a later run does not send it again.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

from realqa_cli.backends.server.client import ServerClient
from realqa_cli.backends.server.request_pool import in_order
from realqa_cli.domain.prompts import rewrite_question
from realqa_cli.errors import ItemError
from realqa_cli.io.jsonl import dump_line
from realqa_cli.steps.build_cot import critique
from realqa_cli.steps.build_cot.drafts import Draft, Prose

TEMPERATURE = 0.8  # for variety
MAX_TOKENS = 2048  # enough for models that write their thoughts first

REWRITTEN = "rewritten"
KEPT = ("lost a value", "made one up", "unchanged", "refused", "no answer")
"""Outcomes with which the composed text is kept."""


_Bundle = tuple[Draft, ...]
"""Drafts that one worker processes, in order; only the last can have prose, which is one request."""
_LARGEST = 64  # drafts in a bundle


class Rewriter:
    """Rewords the prose among drafts, several at a time.  counts: by outcome, and "done before".

    done: whether the line with a given `rewrite.of` is in the output already.
    """

    def __init__(self, client: ServerClient, *, done: Callable[[str], bool] = lambda of: False) -> None:
        self.client, self.done = client, done
        self.run: str | None = None  # the manifest's id
        self.counts: Counter[str] = Counter()

    def settings(self) -> dict[str, Any]:
        """The settings that determine the texts, for the manifest."""
        return {"model": self.client.model, "prompt": self._prompt, "temperature": TEMPERATURE}

    def rewrite(self, drafts: Iterable[Draft]) -> Iterator[dict[str, Any]]:
        """The lines, in order, without those that are done. Raises ModelError for a server that cannot be used."""
        for lines in in_order(self._lines, self._bundles(drafts), self.client.settings.concurrency):
            for line in lines:
                if "rewrite" in line:
                    self.counts[line["rewrite"]["outcome"]] += 1
                yield line

    def _bundles(self, drafts: Iterable[Draft]) -> Iterator[_Bundle]:
        waiting: list[Draft] = []
        for draft in drafts:
            if draft.prose is not None and self.done(self._of(draft)):
                self.counts["done before"] += 1
            else:
                waiting.append(draft)
            if draft.prose is not None or len(waiting) == _LARGEST:
                yield tuple(waiting)
                waiting = []
        yield tuple(waiting)

    def _lines(self, bundle: _Bundle) -> list[dict[str, Any]]:
        return [draft.line if draft.prose is None else self._reworded(draft, draft.prose) for draft in bundle]

    def _reworded(self, draft: Draft, prose: Prose) -> dict[str, Any]:
        question, answer = draft.line["messages"]
        of = self._of(draft)
        text, outcome = self._reword(answer["content"], prose, seed=int(of, 16) % 2**31)
        rewrite = {"model": self.client.model, "outcome": outcome, "of": of, "run": self.run}
        return draft.line | {"messages": [question, answer | {"content": text}], "rewrite": rewrite}

    def _reword(self, composed: str, prose: Prose, *, seed: int) -> tuple[str, str]:
        """The text to use, and the outcome of the rewording."""
        values = critique.slot_values(prose.texts)
        question = rewrite_question(composed, values, prose.numeral, prose.subject)
        try:
            reply = self.client.chat(
                [{"role": "user", "content": question}],
                temperature=TEMPERATURE,
                max_tokens=MAX_TOKENS,
                seed=seed,
            )
            text = " ".join(reply.text.strip("`\"'“”* \n").split())
        except ItemError as error:
            return composed, "refused" if error.type == "refused" else "no answer"
        if critique.lost(text, prose.texts, prose.numeral):
            return composed, "lost a value"
        if critique.added(text, composed):
            return composed, "made one up"
        return text, "unchanged" if text == composed else REWRITTEN

    def _of(self, draft: Draft) -> str:
        """A digest of the source of a rewording: the composed line, the model and the prompt, in 16 hex digits."""
        content = f"{dump_line(draft.line)}|{self.client.model}|{self._prompt}|{TEMPERATURE}"
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @cached_property
    def _prompt(self) -> str:
        example = rewrite_question("text", ["value"], "1.00")
        return f"sha256:{hashlib.sha256(example.encode()).hexdigest()[:16]}"
