"""The tokenizer: a small byte-level BPE whose digits and full stop are tokens of their own, and the text it is from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
VOCABULARY = 1024
# One digit; one full stop; a word with the space before it; other signs; white space.
PIECES = r"\p{N}|\.| ?\p{L}+| ?[^\s\p{L}\p{N}.]+|\s+"

CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string -%}
{{ message.content }}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' or 'image' in part or 'image_url' in part -%}
<|vision_start|><|image_pad|><|vision_end|>
{%- elif part.type == 'video' or 'video' in part -%}
<|vision_start|><|video_pad|><|vision_end|>
{%- elif 'text' in part -%}
{{ part.text }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""

_CLASSES = [
    "incomplete, partially complete, fully complete, mostly cut off, mostly obscured",
    "slightly cut off, slightly obscured, no cuts or obstructions at all",
    "cluttered, moderately cluttered, uncluttered, yes, no",
    "very blurry, moderately blurry, moderately clear, very clear",
    "overexposed, slightly overexposed, properly exposed, slightly underexposed, underexposed",
    "ultra-low saturation, low saturation, medium saturation, high saturation, ultra-high saturation",
    "excellent, good, fair, poor, bad",
]
_ATTRIBUTES = [
    "Eye-Catching Score",
    "Reason for Eye-Catching Score",
    "Composition Score",
    "Reason for Composition Score",
    "Subject and Background",
    "Subject",
    "Background",
    "Subject Integrity",
    "Subject Clutter",
    "Background Clutter",
    "Level Shot",
    "Image Clarity",
    "Exposure",
    "Saturation",
]
_SUBJECTS = [
    "a bee on a yellow flower",
    "two friends at a table",
    "an old castle on a hill",
    "a glass of red wine",
    "a boat on a calm lake",
    "a child with a dog",
    "a street at night",
    "a mountain under a cloudy sky",
    "a plate of fresh fruit",
    "a bird in flight",
    "a red car beside the road",
    "a woman in a white dress",
    "a man with a hat",
    "a cat asleep on a sofa",
    "a bowl of soup with bread",
    "a hotel room with a large bed",
    "a swimming pool by the sea",
    "a forest path in autumn",
    "the sunset over the water",
    "a building with tall windows",
]
_REASONS = [
    "The subject stands out clearly from the background and draws the eye at once.",
    "The subject is placed off the centre, which follows the rule of thirds and gives the picture balance.",
    "Leading lines guide the viewer through the frame towards the main subject.",
    "The colours are rich and natural, and the light is soft and even.",
    "The photo lacks a clear point of interest, so the eye wanders without finding anything.",
    "The composition feels crowded because several objects compete for attention.",
    "The horizon is tilted, which makes the scene look unstable.",
    "Strong contrast between light and shadow adds depth and drama.",
    "The edges of the subject are cut off by the frame.",
    "Fine detail is sharp and the texture of the surface can be seen.",
    "The picture is blurry because of camera shake or a missed focus.",
    "Noise and compression artefacts are visible in the dark areas and spoil smooth surfaces.",
    "The highlights are blown out and the sky has lost all detail.",
    "The shadows are too dark, and little can be made out in them.",
    "The background is simple and does not distract from the subject.",
    "The background is busy and messy, which weakens the overall impression.",
    "The angle is unusual and makes an ordinary object interesting.",
    "The image is small and has been enlarged, so edges look soft and blocky.",
    "The warm tones create a pleasant mood and invite the viewer to stay.",
    "The colours look faded and dull, and the whole picture appears flat.",
    "There is enough empty space around the subject to let it breathe.",
    "Symmetry and repeated patterns give the image a strong sense of order.",
    "The framing is too tight and leaves no room for the subject to move.",
    "The expression of the face is lively and tells a story.",
]
_FRAMES = [
    "Rate the aesthetics and quality of this image briefly.",
    "Rate the aesthetics and quality of this image step by step.",
    "Rate the aesthetics and quality of this image step by step with the regular form.",
    "Rate the aesthetics and quality of this video briefly.",
    "Rate the aesthetics and quality of this video step by step.",
    "The score of this image is 3.99.",
    "The score of this video is 3.99.",
    "The final score is <6.59>.",
    "user\nYou are a helpful assistant.\nsystem\n",
    "What is the level of image clarity? Choose one of these options and give only the answer.",
    "Describe the subject and the background of this image in one sentence each.",
    "How eye-catching is this image? Give a reason and a score from 1 to 10.",
    "Is the shot level? Are the subject and the background cluttered? Is the subject complete?",
    "Sort these numbers from low to high and return the result directly to me! Numbers: [5.9, 4.0]."
    " Return format: [number 1, number 2, ..., number n]",
]


def corpus() -> Iterator[str]:
    """Prompts, answers, attribute words and plain photo critique."""
    for _ in range(60):
        yield from _FRAMES
    for _ in range(20):
        yield from _CLASSES
        yield from _ATTRIBUTES
        yield from (name.lower() for name in _ATTRIBUTES)
    for subject, reason in itertools.product(_SUBJECTS, _REASONS):
        yield f"The picture shows {subject}. {reason}"
    for (number, attribute), reason in itertools.product(enumerate(_ATTRIBUTES), _REASONS):
        item = f"{1 + number // 5}.{1 + number % 5}"
        yield f"{item} {attribute}: {reason}, therefore I would give it a score of 7."
    for first, second in itertools.permutations(_REASONS, 2):
        yield f"{first} However, {second[0].lower()}{second[1:]}"


def make_tokenizer() -> Tokenizer:
    """A byte-level BPE of VOCABULARY tokens, special ones included."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    return tokenizer


def save_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Train it and write tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=make_tokenizer(),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=SPECIAL,
        clean_up_tokenization_spaces=False,
        model_max_length=8192,
        padding_side="left",
    )
    wrapped.chat_template = CHAT_TEMPLATE
    wrapped.save_pretrained(folder)
    return wrapped
