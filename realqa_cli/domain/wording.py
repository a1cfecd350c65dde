"""Words of messages: counts with their noun."""


def plural(count: int, noun: str) -> str:
    """The count and the noun in its number: "1 label", "2,000 labels"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
