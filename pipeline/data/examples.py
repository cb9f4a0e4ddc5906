"""Drafts with a split become examples: stable ids, clusters, and the mark of rows that are near training rows."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence

from pipeline.data.filters import Distinct
from pipeline.data.leakage import Leakage
from pipeline.data.ledger import content_of
from pipeline.data.order import name_of, place
from pipeline.data.rows import Draft
from schemas.data import Example, Split

_SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_ID_LENGTH = 16


def make_examples(
    distinct: Distinct, splits: Sequence[Split], leakage: Leakage, seed: int
) -> dict[Split, list[Example]]:
    """Return the examples of each split that has any.

    Training rows stand in the order of their source; held-out rows in a stable order of ``seed`` (see
    `pipeline.data.order`), so that the first hundred of a file sorted by label show all of its labels.

    An id is the digest of the row's content and, counted within the split, which occurrence of that content it is: it
    does not depend on other rows, other splits or the place in the file.
    """
    made: dict[Split, list[Example]] = {split: [] for split in _SPLITS if split in splits}
    seen: Counter[tuple[Split, str]] = Counter()
    for index in _stored_order(distinct.drafts, splits, seed):
        draft, split = distinct.drafts[index], splits[index]
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
                desirable=draft.desirable,
                language=draft.language,
                cluster=distinct.clusters[index],
                near_train=index in leakage.near,
            )
        )
    return made


def _stored_order(drafts: Sequence[Draft], splits: Sequence[Split], seed: int) -> list[int]:
    held_out = [index for index, split in enumerate(splits) if split != "train"]
    training = [index for index, split in enumerate(splits) if split == "train"]
    return training + sorted(held_out, key=lambda index: (place(name_of(drafts[index]), seed), drafts[index].row))


def content_digest(draft: Draft) -> str:
    """Return the first 16 hexadecimal digits of the sha256 of what the row holds."""
    content = {**content_of(draft), "tools": draft.tools}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_ID_LENGTH]
