"""Chat-template families of the installed libraries, each with a small tokenizer that has the family's special tokens.

Templates are read from the packages that ship them. A byte-level tokenizer trained here stands in for the family's own:
which ids come out does not matter, that everybody gets the same ones does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pipeline.render import CHATML, Tokenizer
from tests.parity.conversations import Kind

_SPECIAL = re.compile(r"<\|[\w\-▁]+\|>|<｜[^｜<>]+｜>|<(?:start|end)_of_turn>|<bos>|<eos>|\[gMASK\]|<sop>|</?s>")
_LINES = (
    "the quick brown fox of the order is not in the account, and the refund has to be late",
    "system user assistant tool model function name arguments think answer developer channel final",
    '{"name": "lookup", "arguments": {"city": "Oslo", "days": 3}}',
)


@dataclass(frozen=True)
class Family:
    """One template.

    ``source``: a file of trl's chat templates, empty for hone's own. ``refuses``: kinds of conversations that it has no
    words for, and says so. ``ending``: how it writes the conversation "Hi", "Yes.", from "Hi" on, with what is trained
    in double brackets; worked out by reading the template: training begins where its generation prompt ends, and goes
    through the token that ends the turn.
    """

    name: str
    source: str
    ending: str
    bos: str | None = None
    eos: str = "<|im_end|>"
    refuses: frozenset[Kind] = frozenset()

    @property
    def template(self) -> str:
        """The template's text."""
        if not self.source:
            return CHATML
        import trl

        return (Path(trl.__file__).parent / "chat_templates" / self.source).read_text(encoding="utf-8")


_CHATML = "Hi<|im_end|>\n<|im_start|>assistant\n[[Yes.<|im_end|>]]\n"
_LLAMA = "Hi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n[[Yes.<|eot_id|>]]"
_GEMMA = "Hi<end_of_turn>\n<start_of_turn>model\n[[Yes.<end_of_turn>]]\n"
_PHI = "Hi<|end|>\n<|assistant|>\n[[Yes.<|end|>\n<|endoftext|>]]"
_CALLS: frozenset[Kind] = frozenset({"calls"})
_NO_SYSTEM: frozenset[Kind] = frozenset({"system", "empty system", "calls"})

FAMILIES = (
    Family("chatml", "", _CHATML),
    Family("qwen2.5", "qwen2_5.jinja", _CHATML),
    # The last answer gets an empty thought, which the prompt does not have: the model learns to think nothing.
    Family("qwen3", "qwen3.jinja", _CHATML.replace("[[", "[[<think>\n\n</think>\n\n")),
    Family("qwen3-instruct", "qwen3_instruct_2507.jinja", _CHATML),
    Family("llama3", "llama3.jinja", _LLAMA, bos="<|begin_of_text|>", eos="<|eot_id|>"),
    Family("llama3.1", "llama3_1.jinja", _LLAMA, bos="<|begin_of_text|>", eos="<|eot_id|>"),
    Family("llama3.2", "llama3_2.jinja", _LLAMA, bos="<|begin_of_text|>", eos="<|eot_id|>"),
    Family("gemma", "gemma.jinja", _GEMMA, bos="<bos>", eos="<eos>", refuses=_NO_SYSTEM),
    Family("gemma3", "gemma3.jinja", _GEMMA, bos="<bos>", eos="<eos>", refuses=_CALLS),
    Family("phi3", "phi3.jinja", _PHI, eos="<|endoftext|>"),
    Family("phi3.5", "phi3_5.jinja", _PHI, eos="<|endoftext|>"),
    # It ends a turn by beginning the next one: no token of the answer's own says that it is over.
    Family("glm4-moe", "glm4moe.jinja", "Hi<|assistant|>[[\n<think></think>\nYes.]]", eos="<|endoftext|>"),
    # The channel comes after the generation prompt, and so is the model's to write. Each tool must have a description.
    Family(
        "gpt-oss",
        "gptoss.jinja",
        "Hi<|end|><|start|>assistant[[<|channel|>final<|message|>Yes.<|return|>]]",
        eos="<|return|>",
        refuses=frozenset({"tools"}),
    ),
    Family(
        "cohere2",
        "cohere2.jinja",
        "Hi<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>"
        "[[Yes.<|END_RESPONSE|><|END_OF_TURN_TOKEN|>]]",
        bos="<BOS_TOKEN>",
        eos="<|END_OF_TURN_TOKEN|>",
        refuses=_CALLS,
    ),
    Family("lfm2", "lfm2_v2.jinja", _CHATML, bos="<|startoftext|>"),
)

UNSTABLE = ("deepseekv3.jinja", "deepseek_r1_distill.jinja", "nemotron_3_nano.jinja")
"""Templates whose generation prompt is no beginning of the turn that they write, and that have no markers."""


@cache
def tokenizer_of(name: str) -> Tokenizer:
    """Return the family's tokenizer with its template. Shared: do not change it."""
    return make_tokenizer(next(one for one in FAMILIES if one.name == name))


def make_tokenizer(family: Family) -> Tokenizer:
    """Return a new tokenizer with the family's special tokens and template."""
    from tokenizers import Tokenizer as Core
    from tokenizers import decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = dict.fromkeys(
        [family.eos, *([family.bos] if family.bos else []), "<|pad|>", *_SPECIAL.findall(family.template)]
    )
    core = Core(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=256 + len(special) + 120,
        special_tokens=list(special),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    core.train_from_iterator([*_LINES, family.template], trainer=trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=family.bos,
        eos_token=family.eos,
        pad_token="<|pad|>",
        additional_special_tokens=[one for one in special if one not in (family.bos, family.eos, "<|pad|>")],
        clean_up_tokenization_spaces=False,
        chat_template=family.template,
    )
    tokenizer: Tokenizer = made
    return tokenizer
