"""Small random models of real architectures, made from their configurations, for the tests.

Their answers mean nothing; their arithmetic is that of the full-sized ones.
"""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = [
    "Rate the aesthetics and quality of this image briefly.",
    "The score of this image is 3.99. The score of this image is 1.25.",
    *(f"The score of this image is {n / 100:.2f}." for n in range(100, 501)),
]


def tokenizer(*, merges_digits: bool = False, vocabulary: int = 400) -> PreTrainedTokenizerFast:
    """A byte-level BPE; every digit is one token, or digits and points merge freely ("3", ".9", "99")."""
    bpe = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    if merges_digits:
        bpe.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(r" ?[\d.]+| ?[^\s\d.]+|\s+"), "isolated"), byte_level]
        )
    else:
        bpe.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(r"\d|\.| ?[^\s\d.]+|\s"), "isolated"), byte_level]
        )
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=TEMPLATE,
        extra_special_tokens=SPECIAL[3:],
    )


def _ids(words: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        name: words.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in (
            ("image_token_id", "image_pad"),
            ("video_token_id", "video_pad"),
            ("vision_start_token_id", "vision_start"),
            ("vision_end_token_id", "vision_end"),
        )
    }


def _text(words: PreTrainedTokenizerFast, **more: object) -> dict[str, Any]:
    return {
        "vocab_size": len(words),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "bos_token_id": None,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
        **more,
    }


def _config(family: str, words: PreTrainedTokenizerFast) -> dict[str, object]:
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2]}
    if family == "qwen2_vl":
        vision: dict[str, Any] = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2}
    elif family == "qwen2_5_vl":
        vision = {
            "depth": 2,
            "hidden_size": 32,
            "out_hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        }
    else:
        vision = {
            "depth": 2,
            "hidden_size": 32,
            "out_hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 14,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        }
        rope["mrope_interleaved"] = True
    extra = {"head_dim": 16} if family == "qwen3_vl" else {}
    return {
        "text_config": _text(words, rope_parameters=rope, **extra),
        "vision_config": vision,
        **_ids(words),
    }


def write(
    folder: Path, family: str = "qwen2_vl", *, merges_digits: bool = False, seed: int = 0, gain: float = 8.0
) -> Path:
    """Writes a model folder of `family` (qwen2_vl, qwen2_5_vl, qwen3_vl or llava) and returns it.

    `gain` scales the random weights of the head, so that the distributions are far from uniform.
    """
    words = tokenizer(merges_digits=merges_digits)
    torch.manual_seed(seed)
    model: Any
    if family == "llava":
        model = _llava(folder, words)
    else:
        config = AutoConfig.for_model(family, **_config(family, words))
        model = AutoModelForImageTextToText.from_config(config)
        processor = {
            "image_processor_type": "Qwen2VLImageProcessor",
            "patch_size": 14,
            "merge_size": 2,
            "temporal_patch_size": 2,
            "size": {"shortest_edge": 56 * 56, "longest_edge": 140 * 140},
            "image_mean": [0.5] * 3,
            "image_std": [0.5] * 3,
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(gain)
    model.generation_config.eos_token_id = words.eos_token_id
    model.generation_config.pad_token_id = words.pad_token_id
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def _llava(folder: Path, words: PreTrainedTokenizerFast) -> PreTrainedModel:
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
    )
    image_token = words.convert_tokens_to_ids("<|image_pad|>")
    config = LlavaConfig(
        vision_config=vision,
        text_config=LlamaConfig(**_text(words)),
        image_token_index=image_token,  # type: ignore[arg-type]
    )
    images = CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    processor = LlavaProcessor(
        images,
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        image_token="<|image_pad|>",
        num_additional_image_tokens=1,
    )
    processor.save_pretrained(folder)
    return LlavaForConditionalGeneration(config)
