"""Drafts with a split become examples: stable ids, clusters, and the mark of rows that are near training rows."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence

from pipeline.data.filters import Distinct
from pipeline.data.leakage import Leakage
from pipeline.data.ledger import content_of
from pipeline.data.rows import Draft
from schemas.data import Example, Split

_SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_ID_LENGTH = 16


def make_examples(distinct: Distinct, splits: Sequence[Split], leakage: Leakage) -> dict[Split, list[Example]]:
    """Return the examples of each split that has any, in the order of their source rows.

    An id is the digest of the row's content and, counted within the split, which occurrence of that content it is: it
    does not depend on other rows, other splits or the place in the file.
    """
    made: dict[Split, list[Example]] = {split: [] for split in _SPLITS if split in splits}
    seen: Counter[tuple[Split, str]] = Counter()
    for index, (draft, split) in enumerate(zip(distinct.drafts, splits, strict=True)):
        digest = content_digest(draft)
        seen[split, digest] += 1
        made[split].append(
            Example(
                id=f"{digest}-{seen[split, digest]}",
                row=draft.row,
                messages=draft.messages,
                chosen=draft.chosen,
                rejected=draft.rejected,
                text=draft.text,
                tools=draft.tools,
                label=draft.label,
                cluster=distinct.clusters[index],
                near_train=index in leakage.near_train,
            )
        )
    return made


def content_digest(draft: Draft) -> str:
    """Return the first 16 hexadecimal digits of the sha256 of what the row holds."""
    content = {**content_of(draft), "tools": draft.tools}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_ID_LENGTH]
