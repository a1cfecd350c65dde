"""Stage 1 from the release of RealQA: its own conversations about attributes, unchanged but for the paths."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from realqa_cli.datasets.release_files import ReleaseConversation
from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.domain.parsing import labelled_score, read_attributes
from realqa_cli.errors import ItemError
from realqa_cli.io import sharegpt
from realqa_cli.steps.build_cot.build_cot import Builder
from realqa_cli.steps.build_cot.drafts import Draft
from realqa_cli.steps.build_cot.settings import GRANULARITIES


def release_drafts(builder: Builder, conversations: Iterable[ReleaseConversation]) -> Iterator[Draft]:
    """The conversations that state no score, in order; for one whose photo does not exist an error record.

    Counts in `builder.counts`: "records" and "conversations", "missing" and "failed" as for labels, "of scores"
    (left out, because they belong to stage 2), "other granularity" (left out by `--granularity`).
    """
    for conversation in conversations:
        builder.counts["records"] += 1
        if any(labelled_score(answer) is not None for answer in sharegpt.answers(conversation.record)):
            builder.counts["of scores"] += 1
            continue
        granularity = granularity_of(conversation.record)
        if granularity not in builder.settings.granularity:
            builder.counts["other granularity"] += 1
            continue
        if conversation.path is None:
            builder.counts["missing"] += 1
            builder.counts["failed"] += 1
            error = ItemError(f"no such file; {conversation.where} names it", type="missing", where=conversation.name)
            yield Draft({conversation.kind: conversation.name, "error": error.as_field()})
            continue
        builder.counts["conversations"] += 1
        builder.formats[granularity] += 1
        yield Draft(
            {
                "messages": sharegpt.messages(conversation.record),
                f"{conversation.kind}s": [builder.place(conversation.path)],
                "format": granularity,
            }
        )


def granularity_of(record: Mapping[str, Any]) -> str:
    """One of `GRANULARITIES`, by the attributes that the answers state; "attributes" where none can be read."""
    keys = {key for answer in sharegpt.answers(record) for key in read_attributes(answer)}
    levels = {ATTRIBUTES[key].level for key in keys}
    if len(keys) < 2:
        return GRANULARITIES[0]
    return GRANULARITIES[1] if len(levels) == 1 else GRANULARITIES[2]
