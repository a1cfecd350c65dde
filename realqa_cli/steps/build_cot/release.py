"""Stage 1 from the release of RealQA: its own conversations about attributes, unchanged but for the paths."""

from collections.abc import Iterable, Iterator

from realqa_cli.datasets.release_files import ReleaseConversation
from realqa_cli.domain.parsing import granularity_of, labelled_score, read_attributes, topic_of
from realqa_cli.errors import ItemError
from realqa_cli.io import sharegpt
from realqa_cli.steps.build_cot.build_cot import Builder
from realqa_cli.steps.build_cot.drafts import Draft


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
        keys = {key for answer in sharegpt.answers(conversation.record) for key in read_attributes(answer)}
        granularity = granularity_of(topic_of(keys))
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
