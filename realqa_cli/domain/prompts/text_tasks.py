"""Prompts without a photo: to reword a chain of thought, and to sort numbers."""

from collections.abc import Sequence

from realqa_cli.domain.prompts.conversations import Subject, about, final_sentence


def rewrite_question(text: str, values: Sequence[str], numeral: str, subject: Subject = "image") -> str:
    """The request for other words for `text`, a chain of thought, that keep every one of its `values`."""
    kept = "; ".join(values)
    request = (
        "Reword the following assessment of an image, so that it reads differently and says the same."
        " Change the sentences and how they are joined; keep every fact, every judgement and their order,"
        " add nothing, and give no other number."
        f" Use each of these exactly as written here, as often as it is listed here: {kept}."
        " Answer with the reworded assessment alone, as one paragraph, which ends with exactly this sentence:"
    )
    return f"{about(request, subject)} {final_sentence(numeral)}\n\n{text}"


def sort_question(numbers: Sequence[str]) -> str:
    """The paper's prompt for sorting (Sec. 4.5, App. A, Tab. 1), word for word."""
    return (
        "Sort these numbers from low to high and return the result directly to me!"
        f" Numbers: [{', '.join(numbers)}]. Return format: [number 1, number 2, ..., number n]"
    )
