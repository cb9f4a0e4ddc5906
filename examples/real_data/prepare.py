"""Turn public data sets into the files that the descriptions beside this script name.

    python examples/real_data/prepare.py DATA FOLDER

DATA holds ``clinc150/``, ``snips_nlu/`` and ``banking77/`` as their authors publish them. Written are text and label,
one JSON object a line, and the descriptions.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
DESCRIPTIONS = ("clinc-base.yaml", "banking77.yaml", "banking77-replay.yaml")
Row = tuple[str, str]


def clinc(data: Path, *splits: str) -> Iterator[Row]:
    """Yield utterance and intent of CLINC150's in-scope splits."""
    loaded = json.loads((data / "clinc150" / "data" / "data_full.json").read_text(encoding="utf-8"))
    for split in splits:
        yield from ((text, label) for text, label in loaded[split])


def snips(data: Path) -> Iterator[Row]:
    """Yield utterance and intent of the SNIPS training files; one of them is latin-1."""
    for folder in sorted((data / "snips_nlu" / "2017-06-custom-intent-engines").iterdir()):
        path = folder / f"train_{folder.name}_full.json"
        raw = path.read_bytes()
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        for row in json.loads(text)[folder.name]:
            yield "".join(part["text"] for part in row["data"]).strip(), folder.name


def banking(data: Path, split: str) -> Iterator[Row]:
    """Yield question and category of Banking77."""
    with (data / "banking77" / "banking_data" / f"{split}.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            yield row["text"], row["category"]


def write(path: Path, rows: Iterable[Row]) -> int:
    """Write rows as JSON lines and return how many there are."""
    lines = [json.dumps({"text": text, "label": label.replace("_", " ")}, ensure_ascii=False) for text, label in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return len(lines)


def prepare(data: Path, folder: Path) -> dict[str, int]:
    """Write everything into ``folder`` and return the row counts by file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in DESCRIPTIONS:
        shutil.copyfile(HERE / name, folder / name)
    return {
        "clinc_snips_train.jsonl": write(
            folder / "clinc_snips_train.jsonl", [*clinc(data, "train", "val"), *snips(data)]
        ),
        "clinc_test.jsonl": write(folder / "clinc_test.jsonl", clinc(data, "test")),
        "banking77_train.jsonl": write(folder / "banking77_train.jsonl", banking(data, "train")),
        "banking77_test.jsonl": write(folder / "banking77_test.jsonl", banking(data, "test")),
    }


def main() -> int:
    """Prepare from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    for name, rows in prepare(arguments.data, arguments.folder).items():
        sys.stdout.write(f"{name}: {rows} rows\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
