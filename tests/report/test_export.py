from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from pipeline import execute
from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, IntegrityError, ModelError, StorageError
from pipeline.core.workspace import Store, hash_file
from pipeline.report.export import export_package, export_version
from pipeline.report.types import Registration
from pipeline.report.version import VersionRecord
from schemas.events import Event
from tests.support.run_fixture import RunFixture


def load(fixture: RunFixture) -> VersionRecord:
    fixture.build()
    return VersionRecord.load(Store(fixture.root), fixture.refs["register"])


def files(directory: Path) -> dict[str, str]:
    return {path.relative_to(directory).as_posix(): hash_file(path) for path in directory.rglob("*") if path.is_file()}


def command(directory: Path) -> list[str]:
    compose = yaml.safe_load((directory / "compose.yaml").read_text())
    arguments = compose["services"]["vllm"]["command"]
    assert all(isinstance(argument, str) for argument in arguments)
    return list(arguments)


def following(arguments: list[str], flag: str) -> str:
    return arguments[arguments.index(flag) + 1]


def test_a_merged_package_holds_plain_files_and_what_serves_them(version: VersionRecord, tmp_path: Path) -> None:
    target = tmp_path / "package"
    done = export_package(version, "merged", target, registration=Registration(version="triage@1"))
    assert sorted(files(target)) == [
        "MANIFEST.json",
        "README.md",
        "compose.yaml",
        "config.json",
        "model.safetensors",
        "smoke.sh",
        "smoke_request.json",
        "tokenizer.json",
    ]
    source = version.variants["merged"].path / "model"
    assert files(target)["model.safetensors"] == hash_file(source / "model.safetensors")
    assert (done.files, done.location) == (7, str(target))
    assert following(command(target), "--model") == "/package"
    assert following(command(target), "--max-model-len") == "512"


def test_the_manifest_states_every_other_file(version: VersionRecord, tmp_path: Path) -> None:
    target = tmp_path / "package"
    export_package(version, "w4a16", target)
    manifest = json.loads((target / "MANIFEST.json").read_text())
    stated = {file["path"]: file["sha256"] for file in manifest["files"]}
    assert stated == {name: digest for name, digest in files(target).items() if name != "MANIFEST.json"}
    assert manifest["model"] == version.variants["w4a16"].ref.model_dump()
    assert (manifest["name"], manifest["variant"], manifest["verdict"]) == ("triage", "w4a16", "promoted")


def test_an_adapter_takes_its_local_base_along_but_no_pickle(version: VersionRecord, tmp_path: Path) -> None:
    target = tmp_path / "package"
    export_package(version, "adapter", target)
    assert {"base/config.json", "base/model.safetensors", "base/tokenizer.json"} < set(files(target))
    assert "base/pytorch_model.bin" not in files(target)
    assert json.loads((target / "adapter_config.json").read_text())["base_model_name_or_path"] == "base"
    arguments = command(target)
    assert following(arguments, "--model") == "/package/base"
    assert following(arguments, "--lora-modules") == "triage=/package" and "--enable-lora" in arguments
    assert following(arguments, "--max-lora-rank") == "16"
    # the library's own card was replaced
    assert "made by a library" not in (target / "README.md").read_text()


def test_an_adapter_on_a_hub_base_names_it_with_its_commit(fixture: RunFixture, tmp_path: Path) -> None:
    fixture.hub = True
    target = tmp_path / "package"
    export_package(load(fixture), "adapter", target)
    config = json.loads((target / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/tiny", "c" * 40)
    assert not (target / "base").exists()
    assert following(command(target), "--model") == "org/tiny"
    assert following(command(target), "--revision") == "c" * 40


def test_the_compose_file_pins_the_release_that_served_and_reserves_a_gpu(
    version: VersionRecord, tmp_path: Path
) -> None:
    export_package(version, "merged", tmp_path / "package")
    service = yaml.safe_load((tmp_path / "package" / "compose.yaml").read_text())["services"]["vllm"]
    assert service["image"] == "vllm/vllm-openai:v0.32.0"
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert service["ports"] == ["127.0.0.1:8000:8000"] and ".:/package:ro" in service["volumes"]


def test_a_version_that_was_not_served_gets_its_request_from_the_test_split(
    fixture: RunFixture, tmp_path: Path
) -> None:
    fixture.build()
    ref = fixture.refs["register"]
    store = Store(fixture.root)
    record = execute.load(store, ref).artifact
    unserved = record.lineage.model_copy(update={"serve": None})
    fixture.describe("register", record.model_copy(update={"lineage": unserved}))
    export_package(VersionRecord.load(store, ref), "merged", tmp_path / "package")
    request = json.loads((tmp_path / "package" / "smoke_request.json").read_text())
    assert request["messages"] == [{"role": "user", "content": "First test message"}]
    image = yaml.safe_load((tmp_path / "package" / "compose.yaml").read_text())["services"]["vllm"]["image"]
    assert image == "vllm/vllm-openai:v0.32.0"  # from the serve-vllm environment


def test_the_same_export_gives_the_same_bytes_and_replaces_itself(version: VersionRecord, tmp_path: Path) -> None:
    export_package(version, "merged", tmp_path / "a")
    export_package(version, "merged", tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    export_package(version, "w4a16", tmp_path / "a")
    assert json.loads((tmp_path / "a" / "MANIFEST.json").read_text())["variant"] == "w4a16"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_somebody_else_s_folder_is_never_touched(version: VersionRecord, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    (target / "thesis.txt").write_text("years of work")
    with pytest.raises(StorageError, match="no earlier export"):
        export_package(version, "merged", target)
    assert files(target).keys() == {"thesis.txt"}

    link = tmp_path / "link"
    link.symlink_to(target)
    with pytest.raises(StorageError, match="not a folder"):
        export_package(version, "merged", link)


@pytest.mark.parametrize(("name", "content"), [("notes.txt", "mine"), ("README.md", "edited"), ("compose.yaml", "")])
def test_an_export_changed_by_hand_is_kept(version: VersionRecord, tmp_path: Path, name: str, content: str) -> None:
    target = tmp_path / "package"
    export_package(version, "merged", target)
    (target / name).write_text(content)
    with pytest.raises(StorageError, match="changed by hand") as raised:
        export_package(version, "merged", target)
    assert raised.value.where == str(target / name)
    assert (target / name).read_text() == content


def test_a_stop_half_way_leaves_the_earlier_export(version: VersionRecord, tmp_path: Path) -> None:
    target = tmp_path / "package"
    export_package(version, "merged", target)
    before = files(target)

    def stop(event: Event) -> None:
        if event.kind == "progress" and event.data["done"]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_package(version, "w4a16", target, context=CallContext(sink=stop))
    assert files(target) == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_changed_or_pickled_model_is_not_exported(fixture: RunFixture, tmp_path: Path) -> None:
    version = load(fixture)
    weights = version.model.path / "model" / "adapter_model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + b"\x01")
    with pytest.raises(IntegrityError, match="changed"):
        export_package(version, "adapter", tmp_path / "package")
    assert not (tmp_path / "package").exists()

    fixture.replaced["optimize.merged"] = {"model/pytorch_model.bin": b"x"}
    with pytest.raises(IntegrityError, match="safetensors only"):
        export_package(load(fixture), "merged", tmp_path / "package")


def test_a_model_that_was_made_again_with_other_content_is_not_exported(fixture: RunFixture, tmp_path: Path) -> None:
    fixture.build()
    fixture.remake("optimize.merged", "model/model.safetensors")
    version = VersionRecord.load(Store(fixture.root), fixture.refs["register"])
    with pytest.raises(IntegrityError, match="was made again since this version was registered"):
        export_package(version, "merged", tmp_path / "package")
    assert not (tmp_path / "package").exists()


def test_an_adapter_whose_base_has_gone_says_so(version: VersionRecord, fixture: RunFixture, tmp_path: Path) -> None:
    shutil.rmtree(fixture.base_folder)
    with pytest.raises(ModelError) as raised:
        export_package(version, "adapter", tmp_path / "package")
    assert raised.value.fix == "put it back, or export a merged variant"


@pytest.mark.parametrize("to", ["hf://", "hf://name", "hf://a/b/c", "hf:///x", "hf:/a/b", "hf:a/b", "s3://bucket/x"])
def test_a_malformed_repository_is_refused(version: VersionRecord, to: str) -> None:
    with pytest.raises(ConfigError, match="no repository"):
        export_version(version, "merged", to)


def test_a_push_without_a_token_says_which_is_missing(version: VersionRecord) -> None:
    with pytest.raises(ConfigError, match="secret HF_TOKEN is not set"):
        export_version(version, "merged", "hf://org/name")


def test_the_smoke_script_is_a_script(version: VersionRecord, tmp_path: Path) -> None:
    export_package(version, "merged", tmp_path / "package")
    script = tmp_path / "package" / "smoke.sh"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0
    assert '"$url/v1/chat/completions"' in script.read_text()


@pytest.mark.slow
def test_transformers_and_peft_load_a_package_without_hone(fixture: RunFixture, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tests.support.tiny_model import write_tiny_base

    write_tiny_base(fixture.base_folder)
    tokenizer = AutoTokenizer.from_pretrained(fixture.base_folder)
    tuned = get_peft_model(
        AutoModelForCausalLM.from_pretrained(fixture.base_folder),
        LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False),
    ).eval()
    made = tmp_path / "made"
    tuned.save_pretrained(made)
    tokenizer.save_pretrained(made)
    files_made = {f"model/{path.name}": path.read_bytes() for path in made.iterdir()}
    fixture.replaced["train.seed-0"] = {**files_made, "log.jsonl": b""}

    target = tmp_path / "package"
    export_package(load(fixture), "adapter", target)
    shutil.rmtree(fixture.base_folder)  # nothing but the package is left
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(target / "base"), target).eval()
    ids = AutoTokenizer.from_pretrained(target).apply_chat_template(
        [{"role": "user", "content": "refund"}], return_tensors="pt", return_dict=True
    )
    with torch.no_grad():
        assert torch.equal(loaded(**ids).logits, tuned(**ids).logits)
