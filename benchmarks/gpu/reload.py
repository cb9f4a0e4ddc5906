"""A QLoRA adapter, loaded onto a four-bit base by plain transformers and PEFT."""

from __future__ import annotations

from pathlib import Path

from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.core.examples import read_examples
from pipeline.render import render_conversation
from schemas.render import RenderOptions


def four_bit_loss(base: Path, adapter: Path, rows: Path) -> float:
    """Return the mean loss per trained token of the conversations in ``rows``, in nats, in bfloat16 on the GPU."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    model = AutoModelForCausalLM.from_pretrained(base, quantization_config=quantization, dtype=torch.bfloat16)
    model = PeftModel.from_pretrained(model, adapter).eval()
    tokenizer = load_tokenizer(str(adapter))
    total, tokens = 0.0, 0
    for example in read_examples(rows):
        row = render_conversation(example.messages, tokenizer, RenderOptions())
        ids = torch.tensor([row.ids], device="cuda")
        with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
            loss = model(input_ids=ids, labels=torch.tensor([row.labels], device="cuda")).loss
        total += float(loss) * sum(row.trained)
        tokens += sum(row.trained)
    return total / tokens
