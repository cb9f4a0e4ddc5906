"""What travels with the weights: tokenizer and chat template, byte for byte, and the check that they render alike."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.core.errors import IntegrityError
from pipeline.optimize import backends
from pipeline.render import Tokenizer, template_digest
from schemas.optimize import Variant
from schemas.render import RenderOptions

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
TEMPLATE = "chat_template.jinja"


def copy_model(source: Path, target: Path) -> None:
    """Copy a whole model folder, file by file."""
    for path in sorted(source.iterdir()):
        if path.is_file():
            shutil.copyfile(path, target / path.name)


def carry_tokenizer(
    source: Path, target: Path, tokenizer: Tokenizer, chat_template: str | None, variant: Variant
) -> str:
    """Copy the tokenizer's files into a variant's folder and return the digest of its template.

    Args:
        source: the parent's model folder.
        target: the variant's model folder.
        tokenizer: the parent's tokenizer.
        chat_template: replaces the parent's template, if given.
        variant: what was made; its library loads the copy.

    Raises:
        IntegrityError: the copy renders with another template.
    """
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    if chat_template is not None:
        (target / TEMPLATE).write_text(chat_template, encoding="utf-8")
    wanted = template_digest(tokenizer, RenderOptions(chat_template=chat_template))
    found = template_digest(backends.tokenizer(str(target), variant))
    if found != wanted:
        raise IntegrityError(
            "the variant's tokenizer renders with another chat template than its parent's",
            where=str(target / TEMPLATE),
            fix="report this: the tokenizer's class does not keep its template",
        )
    return found
