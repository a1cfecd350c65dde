"""The settings of annotation, and which of them decide the replies."""

from dataclasses import dataclass
from typing import Any

from realqa_cli.domain import prompts
from realqa_cli.errors import UsageError
from realqa_cli.media.decode import DEFAULT_DECODING, DecodeOptions
from realqa_cli.steps.annotate.ledger import RequestSpec
from realqa_cli.steps.annotate.prices import Price, Prices

IMAGE_FORMATS = ("jpeg", "png")
DECIDING = ("screen", "max_pixels", "image_format", "color_management")
"""Settings that decide what is sent. A complete reply is the same under any limit of its length."""


@dataclass(frozen=True)
class AnnotateSettings:
    """Settings of a run.

    screen: whether the curation flags are requested, too.  max_pixels: area that photos are reduced to.
    image_format: of the data URIs, "jpeg" or "png" (lossless, about ten times the size).  max_tokens: of a
    reply.  requests_per_minute, tokens_per_minute: None for no limit except the server's.  max_cost: of all
    replies in the ledger together, in US dollars.  ask_again: whether to send a new request where the
    ledger's replies cannot be used.  color_management, decode_timeout, decode_memory: see `DecodeOptions`.
    """

    screen: bool = False
    max_pixels: int = 1_003_520  # 1,280 patches of 28 x 28
    image_format: str = "jpeg"
    max_tokens: int = 2048
    color_management: bool = True
    decode_timeout: float = DEFAULT_DECODING.timeout
    decode_memory: int = DEFAULT_DECODING.memory
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    max_cost: float | None = None
    ask_again: bool = False

    def check(self) -> None:
        """Raises `UsageError`."""
        if self.image_format not in IMAGE_FORMATS:
            what = f"unknown format {self.image_format!r}"
            raise UsageError(what, where="--image-format", remedy=f"choose one of: {', '.join(IMAGE_FORMATS)}")

    def price(self, model: str, prices: Prices) -> Price | None:
        """The price of the model; None where it is unknown. Raises `UsageError` where a cap then cannot be kept."""
        price = prices.of(model)
        if self.max_cost is not None and price is None:
            what = f"the price of {model} is unknown, so its cost cannot be capped"
            raise UsageError(what, where="--max-cost", remedy="give it by --prices FILE, or leave out --max-cost")
        return price

    def request_spec(self, model: str) -> RequestSpec:
        """What the requests of this run have in common."""
        return RequestSpec(model, prompts.annotation_prompt_hash(screen=self.screen), self.parameters)

    def manifest_settings(self, model: str) -> dict[str, Any]:
        """What decides the labels of a run, for its manifest."""
        spec = self.request_spec(model)
        return {"model": model, "prompt": spec.prompt, "screen": self.screen, **spec.parameters}

    @property
    def parameters(self) -> dict[str, Any]:
        """What decides replies in addition to the model and the prompt."""
        stored = {} if self.color_management else {"color_management": False}
        return {"max_pixels": self.max_pixels, "image_format": self.image_format, "temperature": 0, **stored}

    @property
    def decoding(self) -> DecodeOptions:
        """How photos are decoded."""
        return DecodeOptions(None, self.color_management, self.decode_timeout, self.decode_memory)
