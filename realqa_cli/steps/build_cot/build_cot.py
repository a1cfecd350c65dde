"""The step `realqa build-cot`: label records in, training conversations in sharegpt form out.

Paper Sec. 3.3: the stage "attributes" (cold start; Tab. 2) and the stage "score" (the direct answer R1, the chain of
thought in natural language R2, and in the regular form R3). The number in a text is on the model's scale, with
exactly M digits; `mos` keeps its own range. The step opens no photo and loads no model.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from realqa_cli.domain import prompts
from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.domain.scales import ASSUMED_RANGE, PAPER_SCALE, Scale
from realqa_cli.domain.score_target import ScoreTarget
from realqa_cli.errors import ItemError
from realqa_cli.io.labels import LabelIndex, LabelRow
from realqa_cli.io.records import ImageRecord, error_line
from realqa_cli.steps.build_cot.drafts import Draft
from realqa_cli.steps.build_cot.formats import Exchange, attribute_exchanges, score_exchanges
from realqa_cli.steps.build_cot.settings import BuildSettings

GROUPS = ("reference",)
"""Fields of a label that its conversations keep, for a split by group."""

_EDGE = 1e-9
"""Share of a composite's range by which sums of floats may exceed it."""


class Builder:
    """Makes conversations from label records, and counts what the summary reports.

    counts: "records", "conversations", "failed", "failed before" (records of items that failed in an earlier step),
    "repeated" (records of an image that had one before), "without cot" (records with a score but no attributes),
    "assumed range" (MOS taken as 1-5, because no `mos_range` is given), "composite" (scores from `composite`),
    "missing" (images that are not there).  formats, scales: conversations of each.
    """

    def __init__(
        self,
        settings: BuildSettings,
        scores: LabelIndex | None = None,
        *,
        place: Callable[[str], str] = lambda path: path,
        exists: Callable[[str], bool] = lambda path: True,
    ) -> None:
        """`scores`: rows with `mos` for the images.  `place`: the path as the output states it.

        `exists`: whether the photo at a path is there; one that is not gives an error record. Raises UsageError.
        """
        settings.check()
        self.settings, self.scores, self.place, self.exists = settings, scores, place, exists
        self.counts: Counter[str] = Counter()
        self.formats: Counter[str] = Counter()
        self.scales: Counter[Scale] = Counter()
        self._paths: set[str | None] = set()

    def build(self, rows: Iterable[LabelRow]) -> Iterator[dict[str, Any]]:
        """The conversations of each record, in order; for a record that cannot be used an error record."""
        return (draft.line for draft in self.drafts(rows))

    def drafts(self, rows: Iterable[LabelRow]) -> Iterator[Draft]:
        """The same lines, each with the values that a rewording of its prose must keep."""
        for row in rows:
            self.counts["records"] += 1
            if row.failed:
                self.counts["failed before"] += 1
                continue
            try:
                drafts = self._conversations(row)
            except ItemError as error:
                self.counts["failed"] += 1
                yield Draft(error_line(row, error))
                continue
            self.counts["repeated"] += row.path in self._paths
            self._paths.add(row.path)
            self.counts["conversations"] += len(drafts)
            yield from drafts

    def _conversations(self, row: LabelRow) -> list[Draft]:
        if row.error:
            raise row.error
        if row.named is None:
            raise ItemError("the label names no image", type="record", where=row.where)
        texts = self._texts(row)
        more: dict[str, Any]
        if self.settings.stage == "attributes":
            exchanges = list(attribute_exchanges(texts, row.kind, self.settings))
            more = {key: row.record[key] for key in ("mos", "mos_range") if key in row.record}
        else:
            target = self._target(row)
            seed = f"{self.settings.seed}|{row.name.replace(chr(92), '/').rpartition('/')[2]}"
            exchanges = list(score_exchanges(texts, target.numeral, row.kind, self.settings, seed=seed))
            more = {"mos": target.mos, "mos_range": list(target.mos_range)}
            more |= {"scale": list(target.scale), "digits": self.settings.digits}
            self.scales[target.scale] += len(exchanges)
            self.counts["without cot"] += not texts and any(name != "direct" for name in self.settings.formats)
        if not exchanges:
            raise ItemError("the label has none of the attributes", type="attributes", where=row.name)
        more |= {key: row.record[key] for key in GROUPS if key in row.record}
        self._require(row)
        self.formats.update(exchange.format for exchange in exchanges)
        return [Draft(self._line(row, exchange) | more, exchange.prose) for exchange in exchanges]

    def _require(self, row: LabelRow) -> None:
        """Raises ItemError where the photo is not there: training would not find it either."""
        if not self.exists(row.name):
            self.counts["missing"] += 1
            raise ItemError(f"no such file; {row.where} names it", type="missing", where=row.name)

    def _texts(self, row: LabelRow) -> dict[str, str]:
        """The text of each slot for which the label has a value. Raises ItemError."""
        attributes = row.record.get("attributes")
        if attributes is not None and not isinstance(attributes, Mapping):
            raise ItemError("`attributes` is not an object", type="record", where=row.name)
        try:
            texts = prompts.slot_texts(attributes or {})
        except ValueError as error:
            raise ItemError(str(error), type="attributes", where=row.name) from error
        if self.settings.missing == "report":
            present = {prompts.SLOTS[key].attribute.key for key in texts if not key.endswith(".reason")}
            if absent := [key for key in ATTRIBUTES if key not in present]:
                what = f"the label lacks {', '.join(absent)}"
                raise ItemError(what, type="attributes", where=row.name, remedy="--missing leave-out leaves them out")
        return texts

    def _line(self, row: LabelRow, exchange: Exchange) -> dict[str, Any]:
        return {
            "messages": [
                {"role": "user", "content": f"<{row.kind}>{exchange.question}"},
                {"role": "assistant", "content": exchange.answer},
            ],
            f"{row.kind}s": [self.place(row.name)],
            "format": exchange.format,
        }

    def _target(self, row: LabelRow) -> ScoreTarget:
        """The row's MOS, or that of `scores`, or else the composite, as the text states it. Raises ItemError."""
        source = row
        if self.scores is not None:
            try:
                source = self.scores.find(row)
            except ItemError:
                if row.record.get("mos") is None:
                    raise
        if source.record.get("mos") is None and source.record.get("composite") is not None:
            return self._composite_target(source)
        known = ImageRecord.parse({key: source.record.get(key) for key in ("mos", "mos_range")}, where=source.where)
        if known.mos is None:
            raise ItemError("the label has no `mos`", type="mos", where=row.name, remedy="name a file by --scores")
        mos_range = known.mos_range or self.settings.mos_range
        self.counts["assumed range"] += mos_range is None
        return self._checked(row, known.mos, mos_range or ASSUMED_RANGE, self.settings.scale)

    def _composite_target(self, row: LabelRow) -> ScoreTarget:
        """The target from `realqa composite apply`: mapped from the range that its weights can reach to 0-10."""
        fields = {"mos": row.record["composite"], "mos_range": row.record.get("composite_range")}
        known = ImageRecord.parse(fields, where=row.where)
        bounds = self.settings.mos_range or known.mos_range
        if bounds is None or known.mos is None:
            what, remedy = "`composite` has no `composite_range`", "apply the weights again, or give --mos-range"
            raise ItemError(what, type="mos", where=row.name, remedy=remedy)
        own = Scale.of(bounds)
        inside = own.clip(known.mos)
        value = inside if abs(inside - known.mos) <= _EDGE * own.width else known.mos
        self.counts["composite"] += 1
        return self._checked(row, value, own, self.settings.scale or PAPER_SCALE)

    def _checked(self, row: LabelRow, mos: float, mos_range: Any, scale: Scale | None) -> ScoreTarget:
        try:
            return ScoreTarget.of(mos, mos_range, scale, self.settings.digits)
        except (ValueError, OverflowError) as error:
            raise ItemError(str(error), type="mos", where=row.name) from error
