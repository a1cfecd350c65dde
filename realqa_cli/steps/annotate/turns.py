"""One photo's conversation: the question, and at most one request to mend the answer.

What is in the ledger is not asked again; what is asked is in the ledger before it is read.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from realqa_cli.backends.server.replies import Reply
from realqa_cli.errors import ItemError
from realqa_cli.steps.annotate.calls import Caller
from realqa_cli.steps.annotate.ledger import Ledger, LedgerEntry, RequestSpec
from realqa_cli.steps.annotate.openai_batch import Results
from realqa_cli.steps.annotate.photos import HashedPhoto, Request
from realqa_cli.steps.annotate.prices import Price
from realqa_cli.steps.annotate.reading import InvalidReply, Label, read_label
from realqa_cli.steps.annotate.settings import AnnotateSettings

UNUSABLE = ("refused", "empty", "cut", "unparsed")
"""Types of error of a reply that is there and says nothing that can be used."""


@dataclass(frozen=True)
class LabelOutcome:
    """A label, and what its replies cost in US dollars; None where that is unknown."""

    label: Label
    cost: float | None


@dataclass
class PhotoLabeler:
    """Labels one photo at a time; several threads may share one.

    caller: None where nothing may be asked.  results: of a batch; one is filed when its photo comes.
    counts: "mended" answers, labels "from the ledger" alone, and replies "from the batch".
    """

    settings: AnnotateSettings
    asked: RequestSpec
    ledger: Ledger
    price: Price | None
    caller: Caller | None = None
    results: Results = field(default_factory=Results)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._busy: set[str] = set()
        self._free = threading.Condition()

    def label(self, known: HashedPhoto) -> LabelOutcome:
        """The photo's label. Raises ItemError, ModelError, Unaffordable, Stopping."""
        assert known.content is not None
        key = self.asked.key(known.content)
        with self._alone(key):
            try:
                return self._label(_Dialogue(self, known, key))
            except ItemError as error:
                anew = self._anew(known, key) if error.type in UNUSABLE else None
                if anew is None:
                    raise
            return self._label(anew)

    def _anew(self, known: HashedPhoto, key: str) -> "_Dialogue | None":
        """Another try at a photo whose earlier replies cannot be used; None where there is none."""
        if self.ledger.fresh(key):
            return None
        filed, result = self.ledger.get(key, 0), self.results.replies.get(key)
        if filed is not None and result is not None and result.reply != filed.reply:
            self.file(key, known.content or "", result)
            return _Dialogue(self, known, key)
        again = self.settings.ask_again and self.caller is not None
        return _Dialogue(self, known, key, forget=True) if again else None

    def _label(self, talk: "_Dialogue") -> LabelOutcome:
        first = talk.turn(0)
        text = ""
        try:
            text = Reply(first.reply).text
            label = self._read(first)
            last = [first]
        except InvalidReply as flawed:
            if self.caller is None and self.ledger.get(talk.key, 1) is None:
                raise
            second = talk.turn(1, text, flawed.flaws)
            label = self._read(second)
            last = [first, second]
        with self._free:
            self.counts["mended"] += len(last) == 2
            self.counts["from the ledger"] += not talk.paid
        costs = [self._cost(entry) for entry in last]
        known = [cost for cost in costs if cost is not None]
        return LabelOutcome(label, sum(known) if len(known) == len(costs) else None)

    def _read(self, entry: LedgerEntry) -> Label:
        """Raises Flawed, or ItemError for a reply that no request would mend."""
        reply = Reply(entry.reply)
        try:
            return read_label(reply.text, screen=self.settings.screen)
        except InvalidReply as flawed:
            if reply.cut:
                what = f"the reply was cut off after {self.settings.max_tokens} tokens"
                raise ItemError(what, type="cut", remedy="raise --max-tokens, and --ask-again") from flawed
            raise

    def file(self, key: str, content: str, result: LedgerEntry) -> LedgerEntry:
        """A batch's result, which is in the ledger from now on."""
        self.ledger.put(key, 0, self.asked, content, result)
        with self._free:
            self.counts["from the batch"] += 1
        return result

    def _cost(self, entry: LedgerEntry) -> float | None:
        if entry.cost is not None or self.price is None:
            return entry.cost
        return self.price.reply(entry.reply, batch=entry.batch)

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Of two photos with the same bytes the second waits, and finds the first one's reply."""
        with self._free:
            while key in self._busy:
                self._free.wait()
            self._busy.add(key)
        try:
            yield
        finally:
            with self._free:
                self._busy.discard(key)
                self._free.notify_all()


class _Dialogue:
    """The turns of one photo. forget: whether to ask anew, whatever the ledger has. paid: replies asked."""

    def __init__(self, turns: PhotoLabeler, known: HashedPhoto, key: str, *, forget: bool = False) -> None:
        self.turns, self.key, self.forget, self.paid = turns, key, forget, 0
        self.content = known.content or ""
        self.request = Request(known, turns.settings)

    def turn(self, number: int, answer: str = "", flaws: tuple[str, ...] = ()) -> LedgerEntry:
        """The reply of a turn, from the ledger or by asking."""
        turns = self.turns
        entry = None if self.forget and not self.paid else turns.ledger.get(self.key, number)
        if entry is not None:
            return entry
        if number == 0 and (result := turns.results.replies.get(self.key)) and not self.forget:
            return turns.file(self.key, self.content, result)
        if turns.caller is None:
            missing = ItemError("there is no reply for this photo", type="missing")
            raise turns.results.failures.get(self.key, missing)
        rule = turns.price.image if turns.price else None
        request = self.request
        messages = request.mending(answer, flaws) if number else request.messages
        more = f"{answer}{''.join(flaws)}" if number else ""
        self.paid += 1
        return turns.caller.ask(
            self.key,
            number,
            self.content,
            messages,
            request.tokens(rule, more),
            temperature=0,
            response_format=request.response_format,
        )
