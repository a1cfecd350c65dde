"""The step `realqa build-cot`: label records in, training conversations out, in sharegpt form.

Paper Sec. 3.3: stage "attributes" (cold start; one attribute, one level or all of them in a conversation,
Tab. 2) and stage "score" (the direct answer R1, the chain of thought in natural language R2 and in the
regular form R3). The number in a text is on the model's scale, with exactly M digits; `mos` stays on its own.

Opens no photo and knows no model; the words are in `prompts` and `critique`.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from realqa_cli.domain import numerals, prompts
from realqa_cli.domain.attributes import ATTRIBUTES, LEVELS, Attribute
from realqa_cli.domain.prompts import Order
from realqa_cli.domain.scales import ASSUMED_RANGE, PAPER_SCALE, Scale
from realqa_cli.domain.score_target import ScoreTarget
from realqa_cli.errors import ItemError, UsageError
from realqa_cli.io.labels import LabelIndex, LabelRow
from realqa_cli.io.records import ImageRecord, error_line
from realqa_cli.steps.build_cot import critique
from realqa_cli.steps.build_cot.drafts import Draft, Prose

STAGES = ("score", "attributes")
GRANULARITIES = ("attributes", "levels", "mix")
CONVERSATION_FORMATS = ("direct", "cot", "cot-regular")
ORDERS = ("high-first", "low-first")
MISSING = ("leave-out", "report")


@dataclass(frozen=True)
class BuildSettings:
    """What conversations are made, and how.

    granularity: for the stage "attributes".  formats, digits (M, 1 to 3), scale (the number's, in the text):
    for the stage "score".  mos_range: of records that do not tell it.  missing: what becomes of a label
    without all ten attributes.
    """

    stage: str = "score"
    granularity: Sequence[str] = GRANULARITIES
    order: Order = "high-first"
    formats: Sequence[str] = CONVERSATION_FORMATS
    digits: int = 3
    scale: Scale | None = None
    mos_range: Scale | None = None
    missing: str = "leave-out"
    seed: int = 0

    def check(self) -> None:
        """Raises UsageError for what cannot be done."""
        for option, given, known in (
            ("--stage", [self.stage], STAGES),
            ("--granularity", self.granularity, GRANULARITIES),
            ("--formats", self.formats, CONVERSATION_FORMATS),
            ("--order", [self.order], ORDERS),
            ("--missing", [self.missing], MISSING),
        ):
            for name in given:
                if name not in known:
                    remedy = f"use {'some' if len(given) > 1 else 'one'} of: {', '.join(known)}"
                    raise UsageError(f"unknown value {name!r}", where=option, remedy=remedy)
            if not given or len(set(given)) < len(given):
                raise UsageError("names nothing, or one thing twice", where=option)
        try:
            numerals.numerals(self.digits, *(self.scale or PAPER_SCALE))
        except ValueError as error:
            raise UsageError(str(error), where="--scale" if self.scale else "--digits") from error


@dataclass(frozen=True)
class _Conversation:
    """A question and its answer."""

    format: str
    question: str
    answer: str
    prose: Prose | None = None


class Builder:
    """Makes conversations of label records, and counts what a person should know about them.

    counts: "records", "conversations", "failed", "passed by" (records of items that failed earlier),
    "repeated" (records of an image that had one before), "without cot" (records that have a score but no
    attributes), "assumed range" (scores taken as 1-5 for want of a `mos_range`), "no photo" (images that are
    not there).  formats, scales: conversations of each.
    """

    def __init__(
        self,
        settings: BuildSettings,
        scores: LabelIndex | None = None,
        *,
        place: Callable[[str], str] = lambda path: path,
    ) -> None:
        """`scores`: rows with `mos` for the images.  `place`: how a path is written into the output."""
        settings.check()
        self.settings, self.scores, self.place = settings, scores, place
        self.counts: Counter[str] = Counter()
        self.formats: Counter[str] = Counter()
        self.scales: Counter[Scale] = Counter()
        self._seen: set[str | None] = set()

    def build(self, rows: Iterable[LabelRow]) -> Iterator[dict[str, Any]]:
        """Each record's conversations, in order; of one that cannot be used, an error record in its place."""
        return (draft.line for draft in self.drafts(rows))

    def drafts(self, rows: Iterable[LabelRow]) -> Iterator[Draft]:
        """The same lines, each with what a rewording of its prose would have to keep."""
        for row in rows:
            self.counts["records"] += 1
            if row.failed:
                self.counts["passed by"] += 1
                continue
            try:
                made = self._conversations(row)
            except ItemError as error:
                self.counts["failed"] += 1
                yield Draft(error_line(row, error))
                continue
            self.counts["repeated"] += row.path in self._seen
            self._seen.add(row.path)
            self.counts["no photo"] += not os.path.exists(row.name)
            self.counts["conversations"] += len(made)
            yield from made

    def _conversations(self, row: LabelRow) -> list[Draft]:
        if row.error:
            raise row.error
        if row.named is None:
            raise ItemError("the label names no image", type="record", where=row.where)
        texts = self._texts(row)
        if self.settings.stage == "attributes":
            talks = list(self._attribute_talks(row, texts))
            more = {key: row.record[key] for key in ("mos", "mos_range") if key in row.record}
        else:
            score = self._score(row)
            talks = list(self._score_talks(row, texts, score))
            more = {"mos": score.mos, "mos_range": list(score.mos_range)}
            more |= {"scale": list(score.scale), "digits": self.settings.digits}
            self.scales[score.scale] += len(talks)
        if not talks:
            raise ItemError("the label has none of the attributes", type="attributes", where=row.name)
        self.formats.update(talk.format for talk in talks)
        return [Draft(self._line(row, talk) | more, talk.prose) for talk in talks]

    def _texts(self, row: LabelRow) -> dict[str, str]:
        given = row.record.get("attributes")
        if given is not None and not isinstance(given, Mapping):
            raise ItemError("`attributes` is no object", type="record", where=row.name)
        try:
            texts = prompts.slot_texts(given or {})
        except ValueError as error:
            raise ItemError(str(error), type="attributes", where=row.name) from error
        if self.settings.missing == "report":
            present = {prompts.SLOTS[key].attribute.key for key in texts if not key.endswith(".reason")}
            if absent := [key for key in ATTRIBUTES if key not in present]:
                what = f"the label lacks {', '.join(absent)}"
                raise ItemError(what, type="attributes", where=row.name, remedy="--missing leave-out leaves them out")
        return texts

    def _attribute_talks(self, row: LabelRow, texts: Mapping[str, str]) -> Iterator[_Conversation]:
        """Stage 1: the granularities of the paper's Tab. 2."""
        for granularity in self.settings.granularity:
            for question, attributes in self._groups(granularity, row, texts):
                keys = [key for key in texts if prompts.SLOTS[key].attribute in attributes]
                if keys:
                    ordered = prompts.arrange(keys, self.settings.order)
                    form = prompts.regular_form(ordered, numbered=granularity != "attributes")
                    yield _Conversation(granularity, question, prompts.fill(form, texts) + prompts.REGULAR_END)

    def _groups(
        self, granularity: str, row: LabelRow, texts: Mapping[str, str]
    ) -> Iterator[tuple[str, Sequence[Attribute]]]:
        """Each question of a granularity about the row's photo or video, with the attributes that it covers."""
        if granularity == "mix":
            yield prompts.about(prompts.MIX_QUESTION, row.kind), tuple(ATTRIBUTES.values())
            return
        levels = list(LEVELS) if self.settings.order == "high-first" else list(LEVELS)[::-1]
        for level in levels:
            if granularity == "levels":
                yield prompts.about(prompts.level_question(level), row.kind), LEVELS[level]
            else:
                for attribute in LEVELS[level]:
                    yield prompts.attribute_question(attribute, texts, row.kind), (attribute,)

    def _score_talks(self, row: LabelRow, texts: Mapping[str, str], score: ScoreTarget) -> Iterator[_Conversation]:
        """Stage 2: R1, and where there are attributes R2 and R3."""
        order, numeral = self.settings.order, score.numeral
        for name in self.settings.formats:
            if name == "direct":
                yield _Conversation(
                    name, prompts.about(prompts.DIRECT_QUESTION, row.kind), prompts.direct_answer(numeral, row.kind)
                )
            elif not texts:
                continue
            elif name == "cot":
                seed = f"{self.settings.seed}|{row.name.replace(chr(92), '/').rpartition('/')[2]}"
                answer = critique.compose(texts, numeral, order=order, subject=row.kind, seed=seed)
                yield _Conversation(
                    name, prompts.about(prompts.COT_QUESTION, row.kind), answer, Prose(texts, numeral, row.kind)
                )
            else:
                form = prompts.fill(prompts.regular_form(prompts.arrange(texts, order)), texts)
                answer = form + prompts.REGULAR_JOINT + prompts.final_sentence(numeral)
                yield _Conversation(name, prompts.about(prompts.COT_REGULAR_QUESTION, row.kind), answer)
        self.counts["without cot"] += not texts and any(name != "direct" for name in self.settings.formats)

    def _line(self, row: LabelRow, talk: _Conversation) -> dict[str, Any]:
        return {
            "messages": [
                {"role": "user", "content": f"<{row.kind}>{talk.question}"},
                {"role": "assistant", "content": talk.answer},
            ],
            f"{row.kind}s": [self.place(row.name)],
            "format": talk.format,
        }

    def _score(self, row: LabelRow) -> ScoreTarget:
        source = row
        if self.scores is not None:
            try:
                source = self.scores.find(row)
            except ItemError:
                if row.record.get("mos") is None:
                    raise
        given = {key: source.record.get(key) for key in ("mos", "mos_range")}
        known = ImageRecord.parse(given, where=source.where)
        if known.mos is None:
            raise ItemError("there is no `mos`", type="mos", where=row.name, remedy="name a file with --scores")
        mos_range = known.mos_range or self.settings.mos_range
        self.counts["assumed range"] += mos_range is None
        try:
            return ScoreTarget.of(known.mos, mos_range or ASSUMED_RANGE, self.settings.scale, self.settings.digits)
        except (ValueError, OverflowError) as error:
            raise ItemError(str(error), type="mos", where=row.name) from error
