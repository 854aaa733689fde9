"""Tokenizers and chat templates of the families, small, with the tokens that matter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

THINK = ("<think>", "</think>")
QWEN = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
)
TEXT = (
    "What colour is the shape in picture Think first then answer It looks red blue green I think so "
    "Compare both pictures No picture here The corner of this one is user assistant system"
)


def shipped(name: str) -> str:
    """A chat template as TRL ships it."""
    import trl

    return (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text()


def thinking(template: str) -> str:
    """The template of a model whose prompt opens the thought, as Qwen3-VL-Thinking's does."""
    head, start, tail = template.rpartition("<|im_start|>assistant\\n")
    return head + start + "<think>\\n" + tail


# TRL ships none for these. What is particular to each is kept: where its images stand, what it puts
# behind an answer, and whether an answered turn begins as the prompt to answer does.
_PARTS = (
    "{{% if message['content'] is string %}}{text}{{% else %}}{{% for part in message['content'] %}}"
    "{{% if part['type'] == 'image' %}}{image}{{% else %}}{{{{ part['text'] }}}}{{% endif %}}"
    "{{% endfor %}}{{% endif %}}"
)


def _content(image: str) -> str:
    return _PARTS.format(text="{{ message['content'] }}", image=image)


INTERNVL = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    + _content("<IMG_CONTEXT>\n")
    + "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# An answered turn has a space before its text, the prompt to answer a line's end.
LLAVA_ONEVISION = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }} "
    + _content("<image>")
    + "<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}[INST]"
    + _content("[IMG]")
    + "[/INST]{% elif message['role'] == 'system' %}[SYSTEM_PROMPT]"
    + _content("")
    + "[/SYSTEM_PROMPT]{% else %}"
    + _content("")
    + "{{ eos_token }}{% endif %}{% endfor %}"
)
# No token stands behind an answer.
GLM = (
    "[gMASK]<sop>{% for message in messages %}<|{{ message['role'] }}|>\n"
    + _content("<|begin_of_image|><|image|><|end_of_image|>")
    + "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def tokenizer(
    special: Sequence[str],
    *,
    template: str,
    eos: str,
    pad: str,
    bos: str | None = None,
    puts_bos: bool = False,
    plain: Sequence[str] = (),
    named: dict[str, str] | None = None,
) -> Any:
    """Byte-level BPE of a few hundred tokens.

    special: tokens that the tokenizer calls so. plain: added tokens that it does not (<think>).
    puts_bos: it puts the beginning of sequence before a text, as Llama's and Mistral's do.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(
        vocab_size=len(special) + len(alphabet) + 80,
        special_tokens=list(special),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    core.train_from_iterator([TEXT] * 4, trainer)
    core.add_tokens([AddedToken(text, special=False, normalized=False) for text in plain])
    if puts_bos and bos:
        core.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, core.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=eos,
        pad_token=pad,
        **({"bos_token": bos} if bos else {}),
        padding_side="left",
        chat_template=template,
        extra_special_tokens=named or {},
    )
