"""A process that dies while it writes a partition leaves the one before, whole."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.monitor.partitions import Partitions
from tests.monitor.test_partitions import DAY

WRITER = """
import sys
from datetime import date
from pathlib import Path
from pipeline.monitor.partitions import Partitions
from tests.monitor.test_partitions import DAY, answer

partitions, count = Partitions(Path(sys.argv[1])), 0
while True:
    count += 400
    with partitions.lock():
        partitions.write("answers", DAY, (answer(n) for n in range(count)), closed=False, version="triage@1")
    print(count, flush=True)
"""


@pytest.mark.slow
def test_a_kill_leaves_a_whole_partition(tmp_path: Path) -> None:
    draw = random.Random(0)
    for number in range(4):
        root = tmp_path / str(number)
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(root)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        written = int(process.stdout.readline())
        time.sleep(draw.uniform(0.0, 0.3))
        process.kill()
        written = max([written, *(int(line) for line in process.communicate()[0].split())])
        found = Partitions(root).read("answers", DAY, "triage@1")
        # What was told to be written is there, or the next one, which was written and not told any more.
        assert len(found) in (written, written + 400)
        assert [row["id"] for row in found] == [f"a{number}" for number in range(len(found))]
        with Partitions(root).lock():
            Partitions(root).write("answers", DAY, [], closed=False, version="triage@1")
