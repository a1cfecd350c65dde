"""The dialogue about one photo: the prompt, and at most one request to repair the answer.

What is in the ledger is not sent again; what is sent is in the ledger before it is parsed.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from realqa_cli.backends.server.replies import Reply
from realqa_cli.domain.wording import plural
from realqa_cli.errors import ItemError
from realqa_cli.steps.annotate.calls import Caller
from realqa_cli.steps.annotate.ledger import Ledger, LedgerEntry, RequestSpec
from realqa_cli.steps.annotate.openai_batch import Results
from realqa_cli.steps.annotate.photos import HashedPhoto, Request
from realqa_cli.steps.annotate.prices import Price
from realqa_cli.steps.annotate.reading import InvalidReply, Label, read_label, replace_surrogates
from realqa_cli.steps.annotate.settings import AnnotateSettings

UNUSABLE = ("refused", "empty", "cut", "unparsed")
"""Error types of replies that arrived but cannot be used."""


@dataclass(frozen=True)
class LabelOutcome:
    """A label, and the cost of its replies in US dollars; None where that is unknown."""

    label: Label
    cost: float | None


@dataclass
class Labeler:
    """Labels one photo at a time. Thread-safe.

    caller: None where nothing may be sent.  results: of a batch; each is written to the ledger when its photo
    comes.  counts: "repaired" answers, labels "from the ledger" alone, and replies "from the batch".
    """

    settings: AnnotateSettings
    spec: RequestSpec
    ledger: Ledger
    price: Price | None
    caller: Caller | None = None
    results: Results = field(default_factory=Results)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._busy: set[str] = set()
        self._changed = threading.Condition()

    def label(self, photo: HashedPhoto) -> LabelOutcome:
        """The photo's label. Raises `ItemError`, `ModelError`, `OutputError`, `Unaffordable`, `Stopping`."""
        assert photo.content is not None
        key = self.spec.key(photo.content)
        with self._exclusive(key):
            try:
                return self._label(Dialogue(self, photo, key))
            except ItemError as error:
                retry = self._retry(photo, key) if error.type in UNUSABLE else None
                if retry is None:
                    raise
            return self._label(retry)

    def _retry(self, photo: HashedPhoto, key: str) -> "Dialogue | None":
        """A new dialogue for a photo whose earlier replies cannot be used; None where that is not possible."""
        if self.ledger.was_written(key):
            return None
        earlier, result = self.ledger.get(key, 0), self.results.replies.get(key)
        if earlier is not None and result is not None and result.reply != earlier.reply:
            self.write_result(key, photo.content or "", result)
            return Dialogue(self, photo, key)
        again = self.settings.ask_again and self.caller is not None
        return Dialogue(self, photo, key, ignore_ledger=True) if again else None

    def _label(self, dialogue: "Dialogue") -> LabelOutcome:
        first = dialogue.turn(0)
        text = ""
        entries = [first]
        try:
            text = replace_surrogates(Reply(first.reply).text)
            label = self._read(first)
        except InvalidReply as invalid:
            if self.caller is None and self.ledger.get(dialogue.key, 1) is None:
                raise
            entries.append(dialogue.turn(1, text, invalid.flaws))
            label = self._read(entries[1])
        with self._changed:
            self.counts["repaired"] += len(entries) == 2
            self.counts["from the ledger"] += not dialogue.sent
        costs = [self._cost(entry) for entry in entries]
        known = [cost for cost in costs if cost is not None]
        return LabelOutcome(label, sum(known) if len(known) == len(costs) else None)

    def _read(self, entry: LedgerEntry) -> Label:
        """Raises `InvalidReply`, or `ItemError` for a reply that a repair request would not improve."""
        reply = Reply(entry.reply)
        try:
            return read_label(reply.text, screen=self.settings.screen)
        except InvalidReply as invalid:
            if reply.cut:
                what = f"the reply was cut off after {plural(self.settings.max_tokens, 'token')}"
                raise ItemError(what, type="cut", remedy="raise --max-tokens, and add --ask-again") from invalid
            raise

    def write_result(self, key: str, content: str, result: LedgerEntry) -> LedgerEntry:
        """Write a batch's result to the ledger and return it."""
        self.ledger.put(key, 0, self.spec, content, result)
        with self._changed:
            self.counts["from the batch"] += 1
        return result

    def _cost(self, entry: LedgerEntry) -> float | None:
        if entry.cost is not None or self.price is None:
            return entry.cost
        return self.price.reply(entry.reply, batch=entry.batch)

    @contextmanager
    def _exclusive(self, key: str) -> Iterator[None]:
        """Of two photos with the same bytes the second waits, and finds the reply of the first."""
        with self._changed:
            while key in self._busy:
                self._changed.wait()
            self._busy.add(key)
        try:
            yield
        finally:
            with self._changed:
                self._busy.discard(key)
                self._changed.notify_all()


class Dialogue:
    """The turns of one photo.

    ignore_ledger: whether to send the prompt again, whatever the ledger has.  sent: requests that were sent.
    """

    def __init__(self, labeler: Labeler, photo: HashedPhoto, key: str, *, ignore_ledger: bool = False) -> None:
        self.labeler, self.key, self.ignore_ledger, self.sent = labeler, key, ignore_ledger, 0
        self.content = photo.content or ""
        self.request = Request(photo, labeler.settings)

    def turn(self, number: int, answer: str = "", flaws: tuple[str, ...] = ()) -> LedgerEntry:
        """The reply of a turn, from the ledger or from the server.

        answer, flaws: for turn 1, the answer to repair and what is wrong with it.
        """
        labeler = self.labeler
        entry = None if self.ignore_ledger and not self.sent else labeler.ledger.get(self.key, number)
        if entry is not None:
            return entry
        if number == 0 and (result := labeler.results.replies.get(self.key)) and not self.ignore_ledger:
            return labeler.write_result(self.key, self.content, result)
        if labeler.caller is None:
            missing = ItemError("there is no reply for this photo", type="missing")
            raise labeler.results.failures.get(self.key, missing)
        rule = labeler.price.image if labeler.price else None
        request = self.request
        messages = request.repair_messages(answer, flaws) if number else request.messages
        more = f"{answer}{''.join(flaws)}" if number else ""
        self.sent += 1
        return labeler.caller.send(
            self.key,
            number,
            self.content,
            messages,
            request.tokens(rule, more),
            temperature=0,
            response_format=request.response_format,
        )
