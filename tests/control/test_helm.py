"""A version out to HELM and HELM's numbers back, on a workspace of one run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from local_runner.main import run_command
from pipeline.control.helm import Endpoint, export_helm, import_helm
from pipeline.control.versions import VersionFiles, open_version
from pipeline.core.errors import ConfigError, DataError, IntegrityError, SourceError
from pipeline.core.helm import helm_results_file
from pipeline.core.workspace import Store
from pipeline.execute import load
from pipeline.report.model_card import model_card
from pipeline.report.show import show_version
from pipeline.report.version import VersionRecord
from schemas.errors import ExitCode
from tests.evaluate.helm.test_entries import read_entries
from tests.support.helm_runs import MODEL, write_run
from tests.support.registered import OneVersion
from tests.support.run_fixture import RunFixture, safetensors_bytes

HERE = Endpoint("http://127.0.0.1:8000/v1", None, 512)


@pytest.fixture
def fixture(tmp_path: Path) -> RunFixture:
    made = RunFixture(tmp_path / ".hone")
    made.build()
    return made


@pytest.fixture
def registry(fixture: RunFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    one = OneVersion(load(Store(fixture.root), fixture.refs["register"]))
    for module in ("helm", "report"):
        monkeypatch.setattr(f"local_runner.cli.{module}.registry", lambda _root: one)
    return one


@pytest.fixture
def version(fixture: RunFixture, registry: Any) -> VersionFiles:
    return open_version(fixture.root, registry, "triage@1")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_files_that_helm_reads(version: VersionFiles, tmp_path: Path) -> None:
    export_helm(version, tmp_path / "out", ["mmlu:subject=anatomy"], HERE)
    made = contents(tmp_path / "out")
    assert read_entries(made["run_entries.conf"].decode()) == [f"mmlu:subject=anatomy,model={MODEL}"]
    (deployment,) = yaml.safe_load(made["prod_env/model_deployments.yaml"])["model_deployments"]
    assert deployment == {
        "name": MODEL,
        "model_name": MODEL,
        "tokenizer_name": MODEL,
        "max_sequence_length": 512,
        "max_sequence_and_generated_tokens_length": 512,
        "client_spec": {
            "class_name": "helm.clients.vllm_client.VLLMChatClient",
            "args": {"base_url": "http://127.0.0.1:8000/v1", "vllm_model_name": "triage"},
        },
    }
    (model,) = yaml.safe_load(made["prod_env/model_metadata.yaml"])["models"]
    assert model["name"] == MODEL and "LIMITED_FUNCTIONALITY_TEXT_MODEL_TAG" in model["tags"]
    (tokenizer,) = yaml.safe_load(made["prod_env/tokenizer_configs.yaml"])["tokenizer_configs"]
    assert tokenizer["tokenizer_spec"]["args"] == {"pretrained_model_name_or_path": "tokenizer"}
    assert "tokenizer/tokenizer.json" in made and not [name for name in made if name.endswith(".safetensors")]
    assert b"helm-run --conf-paths run_entries.conf" in made["README.md"]
    assert "prod_env/credentials.conf" not in made

    export_helm(version, tmp_path / "again", ["mmlu:subject=anatomy"], HERE)
    assert contents(tmp_path / "again") == made


def test_a_key_is_named_and_never_written(
    version: VersionFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HONE_API_KEY", "sk-planted-secret")
    export_helm(version, tmp_path / "out", ["gsm"], Endpoint("https://x.modal.run/v1", "HONE_API_KEY", 512))
    made = contents(tmp_path / "out")
    assert made["prod_env/credentials.conf"] == b"honeApiKey: ${HONE_API_KEY}\n"
    (deployment,) = yaml.safe_load(made["prod_env/model_deployments.yaml"])["model_deployments"]
    assert deployment["client_spec"] == {
        "class_name": "helm.clients.openai_client.OpenAIClient",
        "args": {"base_url": "https://x.modal.run/v1", "openai_model_name": "triage"},
    }
    assert not [name for name, content in made.items() if b"sk-planted-secret" in content]


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        (Endpoint("localhost:8000", None, 512), "no address"),
        (Endpoint("http://me:secret@host/v1", None, 512), "no user, password"),
        (Endpoint("http://host/v1?key=secret", None, 512), "no user, password"),
        (Endpoint("http://host/v1", "secret", 512), "no name of a variable"),
        (Endpoint("ftp://me:secret@host/v1", None, 512), "no address"),
    ],
)
def test_a_wrong_option_leaves_no_folder(
    version: VersionFiles, tmp_path: Path, endpoint: Endpoint, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        export_helm(version, tmp_path / "out", ["gsm"], endpoint)
    assert "secret" not in str(caught.value) and not (tmp_path / "out").exists()


def test_nothing_is_overwritten(version: VersionFiles, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        export_helm(version, tmp_path, ["gsm"], HERE)


@pytest.mark.parametrize(("positions", "length"), [(96, 96), (100_000, 512), (None, 512)])
def test_the_length_is_the_smaller_of_the_model_s_and_the_engine_s(
    tmp_path: Path, positions: int | None, length: int
) -> None:
    config = json.dumps({"model_type": "llama", "max_position_embeddings": positions}).encode()
    files = {"model/config.json": config, "model/tokenizer.json": b"{}", "model/model.safetensors": safetensors_bytes()}
    fixture = RunFixture(tmp_path / ".hone", replaced={"optimize.merged": files})
    fixture.build()
    record = load(Store(fixture.root), fixture.refs["register"])
    opened = open_version(fixture.root, cast(Any, OneVersion(record)), "triage@1")
    unstated = Endpoint("http://host/v1", None, None)
    export_helm(opened, tmp_path / "out", ["gsm"], unstated)
    made = yaml.safe_load((tmp_path / "out" / "prod_env" / "model_deployments.yaml").read_text())
    assert made["model_deployments"][0]["max_sequence_length"] == length
    if positions is None:
        with pytest.raises(ConfigError, match="how long a sequence may be"):
            export_helm(replace(opened, serve=None), tmp_path / "other", ["gsm"], unstated)


def test_from_a_suite_to_show_and_card(
    version: VersionFiles, fixture: RunFixture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = tmp_path / "benchmark_output" / "runs" / "hone"
    write_run(suite, "mmlu:subject=anatomy")
    write_run(suite, "mmlu:subject=virology", exact=0.5, instances=20)
    options = ["--version", "triage@1", "--helm-version", "0.5.16", "--workspace", str(fixture.root)]
    assert run_command(["helm", "import", str(suite), *options, "--json"]) == ExitCode.OK
    told = json.loads(capsys.readouterr().out)
    assert [len(run["figures"]) for run in told["runs"]] == [2, 2]

    store, ref = Store(fixture.root), fixture.refs["register"]
    shown = show_version(store, ref).helm
    assert [(run.figures[0].value, run.figures[0].n) for run in shown] == [(0.75, 8), (0.5, 20)]
    assert run_command(["show", "version", "triage@1", "--workspace", str(fixture.root)]) == ExitCode.OK
    assert "exact_match 0.5000 on test (n = 20; HELM 0.5.16; stats.json " in capsys.readouterr().out
    card = model_card(VersionRecord.load(store, ref), "adapter")
    section = card.partition("## Measured by HELM")[2].partition("\n## ")[0]
    assert "0.7500" in section and "0.5.16" in section and shown[0].stats_digest[:12] in section

    # The same run again replaces its numbers, and leaves the other's.
    write_run(tmp_path / "later", "mmlu:subject=virology", exact=0.625, instances=20)
    import_helm(version, tmp_path / "later", helm_version=None, model=None)
    assert [run.figures[0].value for run in show_version(store, ref).helm] == [0.75, 0.625]


def test_one_wrong_run_imports_none(version: VersionFiles, fixture: RunFixture, tmp_path: Path) -> None:
    kept = helm_results_file(fixture.root, version.record.ref)
    write_run(tmp_path / "a", "mmlu:subject=anatomy")
    foreign = write_run(tmp_path / "a", "mmlu:subject=virology", model="openai/gpt2")
    with pytest.raises(DataError, match=r"adapter_spec.model is 'openai/gpt2', and triage@1 is 'hone/triage-v1'"):
        import_helm(version, tmp_path / "a", helm_version=None, model=None)
    assert not kept.exists()
    (foreign / "scenario.json").unlink()
    with pytest.raises(SourceError, match=r"scenario\.json"):
        import_helm(version, tmp_path / "a", helm_version=None, model=None)
    assert not kept.exists()
    (run,) = import_helm(version, next((tmp_path / "a").glob("*anatomy*")), helm_version=None, model=MODEL)
    assert run.model == MODEL and kept.exists()

    write_run(tmp_path / "b" / "first")
    write_run(tmp_path / "b" / "second")
    with pytest.raises(DataError, match="stands in two run folders"):
        import_helm(version, tmp_path / "b", helm_version=None, model=None)
    kept.write_text("{}")
    with pytest.raises(IntegrityError, match="damaged"):
        model_card(VersionRecord.load(Store(fixture.root), version.record.ref), "adapter")
