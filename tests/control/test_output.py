from __future__ import annotations

import os
import select
import subprocess
import sys

GOES_ON = """
import sys
from pipeline.control.output import print_json
print_json({"base_url": "http://127.0.0.1:1"})
sys.stdin.read()
"""


def test_what_a_command_prints_is_there_while_it_goes_on() -> None:
    """Into a pipe Python writes in blocks."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", GOES_ON]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    try:
        ready, _, _ = select.select([process.stdout], [], [], 30)
        assert ready, "nothing is printed until the command ends"
        assert process.stdout.readline() == b"{\n"
    finally:
        process.communicate()
