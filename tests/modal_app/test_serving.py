"""What a container of the endpoint serves and when it makes room, without Modal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modal_app.serving import version as serving_version
from modal_app.serving.choice import adapters_beside, choose, is_pinned
from modal_app.serving.cold_start import ColdStart
from modal_app.serving.keys import served_key
from modal_app.serving.switch import Switch
from modal_app.serving.version import describe_served, find_version
from pipeline.backends.engine import EngineRequest
from pipeline.backends.engine_vllm import Build, describe
from pipeline.control.versions import VersionFiles, open_version
from pipeline.core.errors import ConfigError, RegistryError
from pipeline.core.models import model_files
from schemas.artifacts import Stored
from schemas.data import DataArtifact
from schemas.optimize import OptimizeArtifact
from schemas.serve import EngineOptions, LaunchDescription
from schemas.train import TrainArtifact
from tests.support import served
from tests.support.memory_registry import MemoryRegistry
from tests.support.tiny_model import write_tiny_base
from tests.support.variants import base_ref, random_adapter
from tests.support.version import version_files

base, adapter, merged, data = served.base, served.adapter, served.merged, served.data  # fixtures


class Entries(dict[str, Any]):
    """A Dict as far as a switch needs one."""

    def put(self, key: str, value: Any, *, skip_if_exists: bool = False) -> bool:
        self[key] = value
        return True


class Shelf:
    """A workspace and its registry, to which versions are added."""

    def __init__(self, root: Path, base: Path, data: Stored[DataArtifact]) -> None:
        self.root, self.base, self.data = root, base, data
        self.registry = MemoryRegistry()

    def add(
        self,
        name: str,
        trained: Stored[TrainArtifact],
        *,
        base: Path | None = None,
        variants: dict[str, Stored[OptimizeArtifact]] | None = None,
        served: str = "adapter",
        launch: LaunchDescription | None = None,
        champion: bool = True,
    ) -> VersionFiles:
        made = version_files(
            self.root, base or self.base, trained=trained, variants=variants or {}, data=self.data, served=served,
            launch=launch, options=EngineOptions(max_model_len=128), name=name,
        )  # fmt: skip
        record = made.record
        number = self.registry.register_version(name, record.artifact, record.ref, record.content_digest, "")
        if champion:
            self.registry.set_alias(name, "champion", number, self.registry.alias(name, "champion"))
        return open_version(self.root, self.registry, f"{name}@{number}")


@pytest.fixture
def shelf(base: Path, data: Stored[DataArtifact], tmp_path: Path) -> Shelf:
    root = tmp_path / "workspace"
    root.mkdir()
    return Shelf(root, base, data)


def test_the_only_name_needs_no_setting(shelf: Shelf, adapter: Stored[TrainArtifact]) -> None:
    with pytest.raises(RegistryError, match="nothing is registered yet"):
        choose(shelf.registry, None)
    shelf.add("triage", adapter, champion=False)
    with pytest.raises(RegistryError, match="triage has no champion"):
        choose(shelf.registry, None)
    shelf.registry.set_alias("triage", "champion", 1, None)
    assert str(choose(shelf.registry, None)) == str(choose(shelf.registry, "triage@champion")) == "triage@1"


def test_among_several_names_one_has_to_be_named(shelf: Shelf, adapter: Stored[TrainArtifact]) -> None:
    for name in ("triage", "router"):
        shelf.add(name, adapter)
    with pytest.raises(ConfigError, match="several names could be served: registered are router, triage") as caught:
        choose(shelf.registry, None)
    assert caught.value.where == "HONE_MODAL_SERVE"
    assert str(find_version(shelf.root, shelf.registry, "triage").version) == "triage@1"
    with pytest.raises(RegistryError, match="no version of tagger is registered"):
        choose(shelf.registry, "tagger")


@pytest.mark.parametrize(("setting", "pinned"), [(None, False), ("a", False), ("a@champion", False), ("a@3", True)])
def test_only_a_number_pins(setting: str | None, pinned: bool) -> None:
    assert is_pinned(setting) is pinned


@pytest.mark.slow
def test_champions_that_one_engine_can_serve_stand_beside_it(
    shelf: Shelf, base: Path, adapter: Stored[TrainArtifact], merged: Stored[OptimizeArtifact], tmp_path: Path
) -> None:
    own = shelf.add("triage", adapter)
    shelf.add("triage", random_adapter(tmp_path / "second", base, seed=5), champion=False)
    router = shelf.add("router", random_adapter(tmp_path / "router", base, seed=2))
    shelf.add("waiting", random_adapter(tmp_path / "waiting", base, seed=3), champion=False)
    shelf.add("whole", adapter, variants={"merged": merged}, served="merged")
    template = random_adapter(tmp_path / "template", base, seed=4)
    other = template.artifact.model_copy(update={"template_digest": "1" * 64})
    shelf.add("template", template.model_copy(update={"artifact": other}))
    elsewhere = write_tiny_base(tmp_path / "elsewhere", seed=9)
    shelf.add("elsewhere", random_adapter(tmp_path / "far", elsewhere), base=elsewhere)
    broken = shelf.add("broken", random_adapter(tmp_path / "broken", base, seed=6))
    (broken.files().adapter or Path()).joinpath("adapter_model.safetensors").write_bytes(b"")

    found = adapters_beside(shelf.root, shelf.registry, own)
    assert found.adapters == {"router": router.files().adapter}
    assert found.versions == {"router": 1}
    assert dict(found.left_out) == {
        "whole": "it is served as a whole model",
        "template": "it has another tokenizer or chat template",
        "elsewhere": "it has another base",
        "broken": found.left_out["broken"],
    }
    assert "adapter_model.safetensors" in found.left_out["broken"]


def test_beside_a_whole_model_stands_nothing(
    shelf: Shelf, adapter: Stored[TrainArtifact], merged: Stored[OptimizeArtifact]
) -> None:
    own = shelf.add("triage", adapter, variants={"merged": merged}, served="merged")
    shelf.add("router", adapter)
    assert adapters_beside(shelf.root, shelf.registry, own).adapters == {}


@pytest.fixture
def tried(base: Path, adapter: Stored[TrainArtifact]) -> LaunchDescription:
    request = EngineRequest(
        files=model_files(base_ref(base), adapter), served_model_name="triage", options=EngineOptions(),
        cpu_dtype="float32", front=True, smoke_request={"messages": [{"role": "user", "content": "hi"}]},
    )  # fmt: skip
    return describe(request, Build("0.32.0", on_cpu=False))


def test_what_was_tried_in_this_environment_is_served_as_it_was_tried(
    shelf: Shelf,
    adapter: Stored[TrainArtifact],
    tried: LaunchDescription,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version = shelf.add("triage", adapter, launch=tried)
    monkeypatch.setattr(serving_version, "environment_digest", lambda *_: "0" * 64)  # which `commit` writes down
    found = describe_served(shelf.root, shelf.registry, version, tmp_path / "unused")
    assert found.tried
    assert version.serve is not None
    assert (found.launch, found.folder) == (tried, version.serve.path)
    assert dict(found.versions) == {"triage": 1}


def test_what_was_tried_elsewhere_is_described_anew_with_its_runs_options(
    shelf: Shelf, adapter: Stored[TrainArtifact], tried: LaunchDescription, tmp_path: Path
) -> None:
    version = shelf.add("triage", adapter, launch=tried)
    folder = tmp_path / "launch"
    folder.mkdir()
    found = describe_served(shelf.root, shelf.registry, version, folder)
    assert not found.tried
    assert found.folder == folder
    assert found.launch.arguments[found.launch.arguments.index("--max-model-len") + 1] == "128"
    assert found.launch.smoke_request == tried.smoke_request
    assert (folder / "tokenizer" / "tokenizer.json").is_file()


def test_a_switch_is_due_when_another_version_is_said_to_be_served() -> None:
    state = Entries()
    switch = Switch(state)
    assert switch.agrees({"triage": 2, "router": 1})
    switch.serves({"triage": 2, "router": 1})
    assert switch.due() is None
    state[served_key("triage")] = 2
    assert switch.due() is None
    state[served_key("tagger")] = 7
    assert switch.due() is None
    state[served_key("triage")] = 1  # a rollback
    assert switch.due() == "triage@1 is to be served instead of triage@2"
    state[served_key("triage")] = 2
    state[served_key("router")] = 2
    assert switch.due() == "router@2 is to be served instead of router@1"


def test_what_was_said_before_the_registry_was_read_ends_no_container() -> None:
    state = Entries({served_key("triage"): 4})
    switch = Switch(state)
    assert not switch.agrees({"triage": 2})  # the registry is read once more, and says 2 again: it was put back by hand
    assert not switch.agrees({"triage": 2})
    switch.serves({"triage": 2})
    assert switch.due() is None
    state[served_key("triage")] = 5
    assert switch.due() == "triage@5 is to be served instead of triage@2"


def test_phases_add_up() -> None:
    cold = ColdStart({"imports": 2.0})
    cold.add("volume", 0.5)
    cold.add("volume", 0.25)
    with cold.phase("registry"):
        pass
    assert list(cold.phases) == ["imports", "volume", "registry"]
    assert cold.phases["volume"] == 0.75
    assert 2.75 <= cold.total < 3.0
    assert str(cold) == "imports 2.0 s, volume 0.8 s, registry 0.0 s; 2.8 s in all"
    assert ColdStart.begun().phases["imports"] > 0.0
