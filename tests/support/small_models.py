"""Small random models of real architectures, made from their configurations, for the tests.

Their answers mean nothing; their arithmetic is that of the full-sized ones.
"""

import json
from collections.abc import Sequence
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


def tokenizer(
    *, merges_digits: bool = False, vocabulary: int = 400, corpus: Sequence[str] = CORPUS, **more: Any
) -> PreTrainedTokenizerFast:
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
        corpus,
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
        **more,
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
    extra: dict[str, object] = {"head_dim": 16} if family != "qwen2_vl" and family != "qwen2_5_vl" else {}
    if family.startswith("qwen3_5"):
        del vision["deepstack_visual_indexes"]
        rope["partial_rotary_factor"] = 1.0
        heads = {"linear_key_head_dim": 16, "linear_value_head_dim": 16}
        extra |= {**heads, "linear_num_key_heads": 2, "linear_num_value_heads": 2}
        extra["layer_types"] = ["linear_attention", "full_attention"]
    if family == "qwen3_5_moe":
        extra |= {"moe_intermediate_size": 32, "shared_expert_intermediate_size": 32}
        extra |= {"num_experts": 4, "num_experts_per_tok": 2}
    return {
        "text_config": _text(words, rope_parameters=rope, **extra),
        "vision_config": vision,
        **_ids(words),
    }


def write(
    folder: Path,
    family: str = "qwen2_vl",
    *,
    merges_digits: bool = False,
    seed: int = 0,
    gain: float = 8.0,
    words: PreTrainedTokenizerFast | None = None,
) -> Path:
    """Writes a model folder of `family` (a Qwen-VL one, llava, llava_onevision, internvl, or gemma3) and returns it.

    `gain` scales the random weights of the head, so that the distributions are far from uniform. `words` is the
    tokenizer instead of `tokenizer()`.
    """
    named: dict[str, Any] = {"model_specific_special_tokens": NAMED[family]} if family in NAMED else {}
    words = words or tokenizer(merges_digits=merges_digits, **named)
    torch.manual_seed(seed)
    model: Any
    if family in _OTHERS:
        model = _OTHERS[family](folder, words)
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


def _llava_onevision(folder: Path, words: PreTrainedTokenizerFast) -> torch.nn.Module:
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessorPil,
        Qwen2Config,
    )

    settings: dict[str, Any] = {
        "vision_config": _siglip(),
        "text_config": Qwen2Config(**_text(words)),
        "image_token_id": words.convert_tokens_to_ids("<|image_pad|>"),
        "video_token_id": words.convert_tokens_to_ids("<|video_pad|>"),
    }
    config = LlavaOnevisionConfig(
        **settings,
        image_grid_pinpoints=[[56, 112], [112, 56], [112, 112]],
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    images = LlavaOnevisionImageProcessorPil(
        size={"height": 56, "width": 56}, image_grid_pinpoints=[[56, 112], [112, 56], [112, 112]]
    )
    parts = {"num_image_tokens": 16, "vision_feature_select_strategy": "full", "image_token": "<|image_pad|>"}
    _save_processor(folder, images, "LlavaOnevisionProcessor", parts)
    return LlavaOnevisionForConditionalGeneration(config)


def _internvl(folder: Path, words: PreTrainedTokenizerFast) -> torch.nn.Module:
    from transformers import (
        GotOcr2ImageProcessorPil,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLVisionConfig,
        Qwen2Config,
    )

    vision = InternVLVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=[56, 56],
        patch_size=[14, 14],
    )
    image_token = words.convert_tokens_to_ids("<|image_pad|>")
    config = InternVLConfig(
        vision_config=vision,
        text_config=Qwen2Config(**_text(words)),
        image_token_id=image_token,  # type: ignore[arg-type]
        image_seq_length=4,
    )
    images = GotOcr2ImageProcessorPil(
        size={"height": 56, "width": 56}, crop_to_patches=True, min_patches=1, max_patches=3
    )
    _save_processor(folder, images, "InternVLProcessor", {"image_seq_length": 4})
    return InternVLForConditionalGeneration(config)


def _gemma3(folder: Path, words: PreTrainedTokenizerFast) -> torch.nn.Module:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3ImageProcessorPil, Gemma3TextConfig

    text = _text(words, head_dim=16, sliding_window=16, layer_types=["sliding_attention", "full_attention"])
    tokens: dict[str, Any] = {
        "image_token_id": words.convert_tokens_to_ids("<|image_pad|>"),
        "boi_token_id": words.convert_tokens_to_ids("<|vision_start|>"),
        "eoi_token_id": words.convert_tokens_to_ids("<|vision_end|>"),
    }
    parts: dict[str, Any] = {"vision_config": _siglip(), "text_config": Gemma3TextConfig(**text)}
    config = Gemma3Config(**parts, mm_tokens_per_image=4, **tokens)
    words.chat_template = TEMPLATE.replace("<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|>", 1)
    images = Gemma3ImageProcessorPil(size={"height": 56, "width": 56})
    _save_processor(folder, images, "Gemma3Processor", {"image_seq_length": 4})
    model = Gemma3ForConditionalGeneration(config)
    with torch.no_grad():  # it begins with zeros, by which photos would not matter
        model.model.multi_modal_projector.mm_input_projection_weight.normal_(0, 0.3)
    return model


def _siglip() -> object:
    from transformers import SiglipVisionConfig

    return SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
        vision_use_head=False,
    )


def _save_processor(folder: Path, images: object, name: str, settings: dict[str, object]) -> None:
    """The files of a processor, without making one: its class needs torchvision."""
    images.save_pretrained(folder)  # type: ignore[attr-defined]
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": name, **settings}))


NAMED = {
    "internvl": {
        "start_image_token": "<|vision_start|>",
        "end_image_token": "<|vision_end|>",
        "context_image_token": "<|image_pad|>",
        "video_token": "<|video_pad|>",
    },
    "gemma3": {"boi_token": "<|vision_start|>", "eoi_token": "<|vision_end|>", "image_token": "<|image_pad|>"},
}
_OTHERS = {"llava": _llava, "llava_onevision": _llava_onevision, "internvl": _internvl, "gemma3": _gemma3}
