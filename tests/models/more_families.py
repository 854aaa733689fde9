"""More families (see families.py), those without pictures among them, and the list of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.models import tokenizers as t
from tests.models.families import (
    Built,
    Family,
    finished,
    gemma3,
    ids,
    qwen3_vl,
    qwen_tower,
    qwen_vl,
    smolvlm2,
    text,
    tower,
)

SQUARE = {"height": 56, "width": 56}


def internvl() -> Built:
    import transformers as hf

    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = t.tokenizer(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *named.values()],
        template=t.INTERNVL,
        eos="<|im_end|>",
        pad="<|endoftext|>",
        named=named,
    )
    images = hf.GotOcr2ImageProcessor(
        size=SQUARE, crop_to_patches=True, min_patches=1, max_patches=6
    )
    video = hf.InternVLVideoProcessor(size=SQUARE)
    processor = hf.InternVLProcessor(
        images, tokenizer, video, image_seq_length=4, chat_template=t.INTERNVL
    )
    config = hf.InternVLConfig(
        text_config={"model_type": "qwen2", **text(tokenizer)},
        vision_config=tower(image_size=[56, 56], patch_size=[14, 14]),
        image_seq_length=4,
        downsample_ratio=0.5,
        **ids(tokenizer, image_token_id="<IMG_CONTEXT>"),
    )
    return finished(hf.InternVLForConditionalGeneration(config), processor)


def llava_onevision() -> Built:
    import transformers as hf

    tokenizer = t.tokenizer(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"],
        template=t.LLAVA_ONEVISION,
        eos="<|im_end|>",
        pad="<|endoftext|>",
    )
    grid = [[56 * rows, 56 * columns] for rows in (1, 2, 3) for columns in (1, 2, 3)]
    processor = hf.LlavaOnevisionProcessor(
        hf.LlavaOnevisionImageProcessor(size=SQUARE, image_grid_pinpoints=grid),
        tokenizer,
        hf.LlavaOnevisionVideoProcessor(size=SQUARE),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=t.LLAVA_ONEVISION,
    )
    config = hf.LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **text(tokenizer)},
        vision_config=tower(model_type="siglip_vision_model", vision_use_head=False),
        image_grid_pinpoints=grid,
        vision_feature_select_strategy="full",
        **ids(tokenizer, image_token_index="<image>", video_token_index="<video>"),
    )
    return finished(hf.LlavaOnevisionForConditionalGeneration(config), processor)


def llava_next() -> Built:
    import transformers as hf

    tokenizer = t.tokenizer(
        ["<unk>", "<s>", "</s>", "<image>", "<pad>"],
        template=t.shipped("llava_next"),
        eos="</s>",
        pad="<pad>",
        bos="<s>",
        puts_bos=True,
    )
    grid = [[56, 112], [112, 56], [112, 112]]
    processor = hf.LlavaNextProcessor(
        hf.LlavaNextImageProcessor(
            size={"shortest_edge": 56}, crop_size=SQUARE, image_grid_pinpoints=grid
        ),
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
    config = hf.LlavaNextConfig(
        text_config={"model_type": "mistral", **text(tokenizer)},
        vision_config=tower(model_type="clip_vision_model", num_hidden_layers=3, projection_dim=16),
        image_grid_pinpoints=grid,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        **ids(tokenizer, image_token_index="<image>"),
    )
    return finished(hf.LlavaNextForConditionalGeneration(config), processor)


def mistral3() -> Built:
    import transformers as hf

    tokenizer = t.tokenizer(
        [
            *("<unk>", "<s>", "</s>", "<pad>", "[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]"),
            *("[IMG_END]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
        ],
        template=t.MISTRAL,
        eos="</s>",
        pad="<pad>",
        bos="<s>",
        puts_bos=True,
    )
    images = hf.PixtralImageProcessor(patch_size=14, size={"longest_edge": 336})
    processor = hf.PixtralProcessor(
        images, tokenizer, patch_size=14, spatial_merge_size=2, chat_template=t.MISTRAL
    )
    config = hf.Mistral3Config(
        text_config={"model_type": "mistral", **text(tokenizer, head_dim=16)},
        vision_config=tower(model_type="pixtral", image_size=336),
        spatial_merge_size=2,
        vision_feature_layer=-1,
        **ids(tokenizer, image_token_index="[IMG]"),
    )
    return finished(hf.Mistral3ForConditionalGeneration(config), processor)


def glm4v() -> Built:
    import transformers as hf

    ends = ["<|endoftext|>", "<|user|>", "<|observation|>"]
    tokenizer = t.tokenizer(
        [
            *(*ends, "[gMASK]", "<sop>", "<|system|>", "<|assistant|>", "<|image|>", "<|video|>"),
            *("<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>"),
        ],
        template=t.GLM,
        eos="<|endoftext|>",
        pad="<|endoftext|>",
        plain=t.THINK,
        named={"image_token": "<|image|>", "video_token": "<|video|>"},
    )
    images = hf.Glm46VImageProcessor(size={"shortest_edge": 12544, "longest_edge": 9633792})
    processor = hf.Glm46VProcessor(
        images, tokenizer, hf.Glm46VVideoProcessor(), chat_template=t.GLM
    )
    rope = {
        "rope_type": "default",
        "rope_theta": 1e4,
        "mrope_section": [1, 2, 1],
        "partial_rotary_factor": 0.5,
    }
    config = hf.Glm46VConfig(
        text_config={"model_type": "glm4v_text", **text(tokenizer, rope_parameters=rope)},
        vision_config=qwen_tower(model_type="glm4v_vision", patch_size=14, image_size=56),
        **ids(
            tokenizer,
            image_token_id="<|image|>",
            video_token_id="<|video|>",
            image_start_token_id="<|begin_of_image|>",
            image_end_token_id="<|end_of_image|>",
            video_start_token_id="<|begin_of_video|>",
            video_end_token_id="<|end_of_video|>",
        ),
    )
    return finished(hf.Glm46VForConditionalGeneration(config), processor, ends)


def qwen_text(version: str) -> Built:
    import transformers as hf

    plain = t.THINK if version == "3" else ()
    tokenizer = t.tokenizer(
        t.QWEN[:3],
        template=t.shipped("qwen3" if version == "3" else "qwen2_5"),
        eos="<|im_end|>",
        pad="<|endoftext|>",
        plain=plain,
    )
    if version == "3":
        return finished(
            hf.Qwen3ForCausalLM(hf.Qwen3Config(**text(tokenizer, head_dim=16))), tokenizer
        )
    return finished(hf.Qwen2ForCausalLM(hf.Qwen2Config(**text(tokenizer))), tokenizer)


def llama3() -> Built:
    import transformers as hf

    tokenizer = t.tokenizer(
        [
            *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
            *("<|eot_id|>", "<|finetune_right_pad_id|>"),
        ],
        template=t.shipped("llama3_1"),
        eos="<|eot_id|>",
        pad="<|finetune_right_pad_id|>",
        bos="<|begin_of_text|>",
        puts_bos=True,
    )
    return finished(hf.LlamaForCausalLM(hf.LlamaConfig(**text(tokenizer))), tokenizer)


def r1_distill() -> Built:
    """DeepSeek-R1-Distill-Qwen: a Qwen2 with a tokenizer and a template of its own."""
    import transformers as hf

    begin, end = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
    tokenizer = t.tokenizer(
        [begin, end, "<｜User｜>", "<｜Assistant｜>"],
        template=t.shipped("deepseek_r1_distill"),
        eos=end,
        pad=end,
        bos=begin,
        puts_bos=True,
        plain=t.THINK,
    )
    return finished(hf.Qwen2ForCausalLM(hf.Qwen2Config(**text(tokenizer))), tokenizer)


QWEN_END = "<|im_end|>"
THOUGHT = "<think>\n"
FAMILIES = {
    "qwen2_vl": Family("Qwen2-VL", lambda: qwen_vl("2"), end=QWEN_END, rule="area"),
    "qwen2_5_vl": Family("Qwen2.5-VL", lambda: qwen_vl("2.5"), end=QWEN_END, rule="area"),
    "qwen3_vl": Family(
        "Qwen3-VL", lambda: qwen3_vl(t.shipped("qwen3_vl")), end=QWEN_END, rule="area"
    ),
    "qwen3_vl_thinking": Family(
        "Qwen3-VL-Thinking",
        lambda: qwen3_vl(t.thinking(t.shipped("qwen3_vl"))),
        opens=THOUGHT,
        end=QWEN_END,
        rule="area",
    ),
    "qwen3_5": Family(
        "Qwen3.5",
        lambda: qwen3_vl(t.shipped("qwen3_5_think"), "3.5"),
        opens=THOUGHT,
        end=QWEN_END,
        rule="area",
    ),
    "gemma3": Family("Gemma 3", gemma3, end="<end_of_turn>", rule="fixed"),
    "smolvlm2": Family("SmolVLM2", smolvlm2, end="<end_of_utterance>", rule="side"),
    "internvl": Family("InternVL 3", internvl, end=QWEN_END, rule="tiles"),
    "llava_onevision": Family("LLaVA-OneVision", llava_onevision, end=QWEN_END, rule="grid"),
    "llava_next": Family("LLaVA-NeXT", llava_next, end="</s>", rule="grid"),
    "mistral3": Family("Mistral 3", mistral3, end="</s>", rule="side"),
    "glm4v": Family("GLM-4.6V", glm4v, end="<|endoftext|>", rule="area"),
    "qwen2": Family("Qwen2 (text)", lambda: qwen_text("2"), sees=False, end=QWEN_END),
    "qwen3": Family("Qwen3 (text)", lambda: qwen_text("3"), sees=False, end=QWEN_END),
    "llama3": Family("Llama 3 (text)", llama3, sees=False, end="<|eot_id|>"),
    "r1_distill": Family(
        "R1-Distill (text)", r1_distill, sees=False, opens=THOUGHT, end="<｜end▁of▁sentence｜>"
    ),
}


def build(name: str, folder: Path, seed: int = 0) -> Path:
    """The family's model in bfloat16, as published, in a folder of save_pretrained."""
    import torch

    from vlt.engine import torchvision

    torchvision.trouble()
    torch.manual_seed(seed)
    model, processor = FAMILIES[name].make()
    with torch.no_grad():  # a part left at 0 or 1 would hide that it is not read
        for parameter in model.parameters():
            if parameter.ndim < 2 or not parameter.any():
                parameter.add_(torch.randn_like(parameter) * 0.02)
    model.to(torch.bfloat16).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def parts(model: Any) -> set[str]:
    """Of vision_tower, projector and language_model, those that the model has."""
    from vlt.train.freeze import part_of

    return {part_of(name) for name, _ in model.named_parameters()}
