"""The conversations about one photo or video: stage 1 by granularity, stage 2 by format (paper Sec. 3.3)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from realqa_cli.domain import prompts
from realqa_cli.domain.attributes import ATTRIBUTES, LEVELS, Attribute
from realqa_cli.domain.prompts import Subject
from realqa_cli.steps.build_cot import critique
from realqa_cli.steps.build_cot.drafts import Prose
from realqa_cli.steps.build_cot.settings import BuildSettings


@dataclass(frozen=True)
class Exchange:
    """A question and its answer.  format: as the output names it.  prose: of the format "cot" only."""

    format: str
    question: str
    answer: str
    prose: Prose | None = None


def attribute_exchanges(texts: Mapping[str, str], kind: Subject, settings: BuildSettings) -> Iterator[Exchange]:
    """Stage 1 (cold start): one attribute, one level or all attributes in a conversation (Tab. 2).

    texts: of the slots, by key. A question about attributes that the label lacks is left out.
    """
    for granularity in settings.granularity:
        for question, attributes in _questions(granularity, texts, kind, settings):
            keys = [key for key in texts if prompts.SLOTS[key].attribute in attributes]
            if keys:
                ordered = prompts.arrange(keys, settings.order)
                form = prompts.regular_form(ordered, numbered=granularity != "attributes")
                yield Exchange(granularity, question, prompts.fill(form, texts) + prompts.REGULAR_END)


def _questions(
    granularity: str, texts: Mapping[str, str], kind: Subject, settings: BuildSettings
) -> Iterator[tuple[str, Sequence[Attribute]]]:
    """Each question of a granularity, with the attributes that it covers."""
    if granularity == "mix":
        yield prompts.about(prompts.MIX_QUESTION, kind), tuple(ATTRIBUTES.values())
        return
    for level in LEVELS if settings.order == "high-first" else reversed(LEVELS):
        if granularity == "levels":
            yield prompts.about(prompts.level_question(level), kind), LEVELS[level]
            continue
        for attribute in LEVELS[level]:
            yield prompts.attribute_question(attribute, texts, kind), (attribute,)


def score_exchanges(
    texts: Mapping[str, str], numeral: str, kind: Subject, settings: BuildSettings, *, seed: str
) -> Iterator[Exchange]:
    """Stage 2: R1, and R2 and R3 where there are attributes.  seed: of the wording of R2."""
    for name in settings.formats:
        if name == "direct":
            question, answer = prompts.DIRECT_QUESTION, prompts.direct_answer(numeral, kind)
            yield Exchange(name, prompts.about(question, kind), answer)
        elif not texts:
            continue
        elif name == "cot":
            answer = critique.compose(texts, numeral, order=settings.order, subject=kind, seed=seed)
            prose = Prose(texts, numeral, kind)
            yield Exchange(name, prompts.about(prompts.COT_QUESTION, kind), answer, prose)
        else:
            form = prompts.regular_form(prompts.arrange(texts, settings.order))
            answer = prompts.fill(form, texts) + prompts.REGULAR_JOINT + prompts.final_sentence(numeral)
            yield Exchange(name, prompts.about(prompts.COT_REGULAR_QUESTION, kind), answer)
