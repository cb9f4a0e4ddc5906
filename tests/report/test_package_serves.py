"""A package brought up by the real vLLM with the arguments of its own compose file, asked by its own script."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from pipeline.core.workspace import Store
from pipeline.report.export import export_package
from pipeline.report.version import VersionRecord
from tests.support.run_fixture import RunFixture
from tests.support.tiny_model import write_tiny_base

pytestmark = pytest.mark.vllm

CPU_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
}
CPU_ARGUMENTS = ["--dtype", "float32", "--enforce-eager", "--distributed-executor-backend", "uni"]
START_SECONDS = 180


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def adapter_files(base: Path, folder: Path) -> dict[str, bytes]:
    """Return the files of a random LoRA adapter on ``base``, as a train artifact holds them."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return {**{f"model/{path.name}": path.read_bytes() for path in folder.iterdir()}, "log.jsonl": b""}


@contextmanager
def served(package: Path, python: Path, log: Path) -> Iterator[str]:
    """Start what the compose file says, on this machine: its paths, port and CPU flags replaced."""
    service = yaml.safe_load((package / "compose.yaml").read_text())["services"]["vllm"]
    port = free_port()
    arguments = [argument.replace("/package", str(package)) for argument in service["command"]]
    arguments[arguments.index("--host") + 1] = "127.0.0.1"
    arguments[arguments.index("--port") + 1] = str(port)
    command = [str(python), *service["entrypoint"][1:], *arguments, *CPU_ARGUMENTS]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=stream, env={**os.environ, **CPU_ENVIRONMENT}, start_new_session=True
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def test_vllm_serves_an_exported_adapter_and_the_script_gets_an_answer(
    fixture: RunFixture, tmp_path: Path, vllm_python: Path
) -> None:
    write_tiny_base(fixture.base_folder)
    fixture.replaced["train.seed-0"] = adapter_files(fixture.base_folder, tmp_path / "adapter")
    fixture.build()
    package, log = tmp_path / "package", tmp_path / "vllm.log"
    export_package(VersionRecord.load(Store(fixture.root), fixture.refs["register"]), "adapter", package)
    shutil.rmtree(fixture.base_folder)  # nothing but the package is left
    with served(package, vllm_python, log) as url:
        deadline = time.monotonic() + START_SECONDS
        while True:
            asked = subprocess.run(["sh", str(package / "smoke.sh"), url], capture_output=True, text=True, check=False)
            if asked.returncode == 0 or time.monotonic() > deadline:
                break
            time.sleep(2)
    assert asked.returncode == 0, asked.stderr + log.read_text(errors="replace")[-3000:]
    answer = json.loads(asked.stdout)
    assert answer["model"] == "triage"
    assert answer["choices"][0]["finish_reason"] in ("stop", "length")
