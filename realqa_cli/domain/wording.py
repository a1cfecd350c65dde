"""Words of messages: counts with their noun."""


def plural(count: int, noun: str, many: str | None = None) -> str:
    """The count and the noun in its number: "1 label", "2,000 labels"; `many` is an irregular plural."""
    return f"{count:,} {noun if count == 1 else many or f'{noun}s'}"
