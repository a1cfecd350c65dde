"""What a person chooses about annotation, and what of it decides the replies."""

from dataclasses import dataclass
from typing import Any

from realqa_cli.domain import prompts
from realqa_cli.errors import UsageError
from realqa_cli.steps.annotate.ledger import RequestSpec
from realqa_cli.steps.annotate.prices import Price, Prices

IMAGE_FORMATS = ("jpeg", "png")
DECIDING = ("screen", "max_pixels", "image_format")
"""Settings that decide what is asked; a reply that is whole is the same under any limit of its length."""


@dataclass(frozen=True)
class AnnotateSettings:
    """screen: whether the curation flags are asked for, too.

    max_pixels: area that photos are reduced to.  image_format: of the data URIs, "jpeg" or "png" (lossless,
    about ten times the size).  max_tokens: of a reply.  requests_per_minute, tokens_per_minute: None is no
    limit but the server's.  max_cost: of everything in the ledger together, in US dollars.
    ask_again: whether to ask anew where the ledger's replies cannot be used.
    """

    screen: bool = False
    max_pixels: int = 1_003_520  # 1,280 squares of 28 x 28
    image_format: str = "jpeg"
    max_tokens: int = 2048
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    max_cost: float | None = None
    ask_again: bool = False

    def check(self) -> None:
        """Raises UsageError."""
        if self.image_format not in IMAGE_FORMATS:
            what = f"photos are not sent as {self.image_format!r}"
            raise UsageError(what, where="--image-format", remedy=f"choose one of {', '.join(IMAGE_FORMATS)}")

    def price(self, model: str, prices: Prices) -> Price | None:
        """The model's, None where it is unknown. Raises UsageError for a cap that then cannot be kept."""
        price = prices.of(model)
        if self.max_cost is not None and price is None:
            what = f"the price of {model} is unknown, so nothing can be capped"
            remedy = "tell it by --prices FILE, or leave the cap out"
            raise UsageError(what, where="--max-cost", remedy=remedy)
        return price

    def asked(self, model: str) -> RequestSpec:
        """What every reply of this run answers, but for the photo."""
        return RequestSpec(model, prompts.annotation_prompt_hash(screen=self.screen), self.parameters)

    def told(self, model: str) -> dict[str, Any]:
        """What decides a run's labels, for its manifest."""
        asked = self.asked(model)
        return {"model": model, "prompt": asked.prompt, "screen": self.screen, **asked.parameters}

    @property
    def parameters(self) -> dict[str, Any]:
        """What decides replies beside model and prompt."""
        return {"max_pixels": self.max_pixels, "image_format": self.image_format, "temperature": 0}
