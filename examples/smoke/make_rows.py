"""Make the rows of examples/smoke.yaml: support messages and their triage records, all synthetic.

    python -m examples.smoke.make_rows

The same rows come out each time; tests compare them with the files beside this script.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random

from local_runner.demo.triage import draw_ticket

HERE = Path(__file__).resolve().parent
SIZES = {"train.jsonl": 600, "test.jsonl": 100}


def rows() -> dict[str, list[dict[str, str]]]:
    """Return the rows of each file; no message is in two rows."""
    random = Random("smoke")  # noqa: S311 - chance that must be repeatable
    drawn: dict[str, str] = {}
    while len(drawn) < sum(SIZES.values()):
        ticket = draw_ticket(random)
        drawn.setdefault(ticket.message, ticket.record.to_json())
    pairs = iter([{"message": message, "triage": record} for message, record in drawn.items()])
    return {name: [next(pairs) for _ in range(size)] for name, size in SIZES.items()}


def main() -> int:
    """Write the files."""
    for name, made in rows().items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made)
        (HERE / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{name}: {len(made)} rows\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
