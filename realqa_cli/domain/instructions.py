"""What models are told that were not trained here: to reword a chain of thought, to sort numbers.

One version of each, as in `prompts`, which has the words of the conversations that realqa trains on.
"""

from collections.abc import Sequence

from realqa_cli.domain.prompts import Subject, about, final_sentence


def rewrite_question(text: str, values: Sequence[str], numeral: str, subject: Subject = "image") -> str:
    """Asks for `text`, a chain of thought, in other words that hold every one of its `values`."""
    kept = "; ".join(values)
    request = (
        "Reword the following assessment of an image, so that it reads differently and says the same."
        " Change the sentences and how they are joined; keep every fact, every judgement and their order,"
        " add nothing, and give no other number."
        f" Use each of these exactly as it stands here, as often as it stands here: {kept}."
        " Answer with the reworded assessment alone, as one paragraph, which ends with exactly this sentence:"
    )
    return f"{about(request, subject)} {final_sentence(numeral)}\n\n{text}"


def sort_question(numbers: Sequence[str]) -> str:
    """The paper's prompt for sorting (Sec. 4.5, App. A, Tab. 1), word for word."""
    return (
        "Sort these numbers from low to high and return the result directly to me!"
        f" Numbers: [{', '.join(numbers)}]. Return format: [number 1, number 2, ..., number n]"
    )
