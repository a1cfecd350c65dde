"""An estimate of what a run would send and cost, from the photos' headers alone."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from realqa_cli.domain.wording import plural
from realqa_cli.io.sources import Item
from realqa_cli.media.photo import photo_area
from realqa_cli.steps.annotate.calls import REPLY
from realqa_cli.steps.annotate.photos import HashedPhoto, estimate_tokens, hash_photo
from realqa_cli.steps.annotate.prices import Price, shape
from realqa_cli.steps.annotate.settings import AnnotateSettings


@dataclass(frozen=True)
class CostEstimate:
    """What a run would send.

    cost_usd: expected.  most_usd: if every reply had the maximum length.  done: photos that have their label or
    reply.  failed: photos that cannot be read.
    """

    model: str
    images: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    most_usd: float | None
    done: int
    failed: int

    def as_json(self) -> dict[str, Any]:
        """The record that is printed."""
        return asdict(self)

    def __str__(self) -> str:
        cost = "price unknown (give it by --prices)"
        if self.cost_usd is not None:
            cost = f"about {self.cost_usd:.2f} USD, {self.most_usd:.2f} at most"
        done = f"; {self.done} done before" if self.done else ""
        failed = f"; {self.failed} failed" if self.failed else ""
        tokens = f"about {self.input_tokens:,} tokens in and {self.output_tokens:,} out"
        photos = f"{plural(self.images, 'photo')} to send to {self.model}"
        return f"{photos}: {tokens}, {cost}{done}{failed}; nothing was sent"


def _area(item: Item) -> int:
    """The area in pixels; 0 if it is unknown."""
    source = item.path if item.stored is None else item.stored.read()
    return 0 if source is None else photo_area(source)


def estimate_cost(
    items: Iterable[Item],
    settings: AnnotateSettings,
    model: str,
    price: Price | None,
    done: Callable[[HashedPhoto], bool],
) -> CostEstimate:
    """The estimate. Photos with the same bytes are sent once."""
    rule = price.image if price else None
    sent: set[str] = set()
    tokens = before = failed = 0
    for photo in map(hash_photo, items):
        area = 0 if photo.error else _area(photo.item)
        if photo.content is None or not area:
            failed += 1
        elif done(photo) or photo.content in sent:
            before += 1
        else:
            sent.add(photo.content)
            tokens += estimate_tokens(shape(min(area, settings.max_pixels)), settings, rule)
    images = len(sent)
    cost = price.tokens(tokens, images * REPLY) if price else None
    most = price.tokens(tokens, images * settings.max_tokens) if price else None
    return CostEstimate(model, images, tokens, images * REPLY, cost, most, before, failed)
