from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, SourceError
from pipeline.core.foreign_names import FOREIGN_NAMES
from pipeline.core.spec import apply_overrides, read_spec, set_keys, validate_spec
from schemas.run import RunSpec

MINIMAL: dict[str, Any] = {
    "name": "triage",
    "task": "extraction",
    "base_model": "hone:tiny",
    "data": {"path": "triage.jsonl"},
}


def write(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text)
    return path


def test_a_minimal_description_is_valid(tmp_path: Path) -> None:
    spec = read_spec(write(tmp_path, yaml.safe_dump(MINIMAL)))
    assert spec.base_model.name == "hone:tiny"
    assert spec.train.learning_rate is None


def test_all_errors_come_at_once_with_path_and_nearest_name() -> None:
    values = {
        **MINIMAL,
        "train": {"sequence_len": 512, "learning_rat": 1e-4, "lora": {"r": -1}},
        "evaluate": {"taget": {}},
    }
    with pytest.raises(ConfigError) as caught:
        validate_spec(values, "run.yaml")
    assert str(caught.value).splitlines() == [
        "run.yaml: 4 errors in the run description:",
        "  train.lora.r: input should be greater than 0, got -1",
        "  train.sequence_len: unknown key; hone calls it train.max_length (axolotl calls it sequence_len)",
        "  train.learning_rat: unknown key; did you mean learning_rate?",
        "  evaluate.taget: unknown key; did you mean target?",
    ]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"kind": "bqq", "path": "x"}, "evaluate.bias.0.kind: no such kind 'bqq'; did you mean bbq?"),
        ({"kind": "harm"}, "evaluate.bias.0.kind: no such kind 'harm'; one of bbq, pairs, counterfactual, refusal"),
        ({"path": "x"}, "evaluate.bias.0: its kind is missing; one of bbq, pairs, counterfactual, refusal, toxicity"),
        ({"kind": "bbq", "path": "x", "pth": "y"}, "evaluate.bias.0.pth: unknown key; did you mean path?"),
        ({"kind": "refusal", "harmful": "x"}, "evaluate.bias.0.harmless: field required"),
    ],
)
def test_a_section_of_several_kinds_is_described_as_the_kind_that_it_names(section: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        validate_spec({**MINIMAL, "evaluate": {"bias": [section]}}, "run.yaml")


@pytest.mark.parametrize("key", ["Name", "str", "a[0]", ""])
def test_an_unknown_key_may_have_any_name(key: str) -> None:
    with pytest.raises(ConfigError, match=f"{re.escape(key)}: unknown key"):
        validate_spec({**MINIMAL, key: 1}, "run.yaml")


def test_an_error_in_a_section_that_may_be_false_does_not_ask_for_false() -> None:
    with pytest.raises(ConfigError) as caught:
        validate_spec({**MINIMAL, "serve": {"engin": "vllm"}}, "run.yaml")
    assert "did you mean engine?" in str(caught.value)
    assert "False" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"learning_rate": 1e-4}, "learning_rate: unknown key; its place is train.learning_rate"),
        ({"target": {}}, "target: unknown key; its place is evaluate.target"),
        ({"train": {"max_hours": 2}}, "its place is constraints.max_hours"),
        ({"train": {"r": 2}}, "its place is train.lora.r"),
        ({"train": {"lr": 1}}, "hone calls it train.learning_rate"),
        ({"train": {"learning_rate_scheduler": "cosine"}}, "hone calls it train.lr_scheduler_type"),
        ({"train": {"seeds": 3}}, "train.seeds: a list of seeds, each trained once: [0], or [0, 1, 2] for three"),
        ({"train": {"seeds": [0, 0]}}, "train.seeds: two have the same name, 0"),
        ({"serve": "yes"}, "serve: input should be"),
    ],
)
def test_a_key_in_the_wrong_place_is_answered_with_the_right_one(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate_spec({**MINIMAL, **values}, "run.yaml")
    assert said in str(caught.value)


def test_serve_true_serves_as_usual() -> None:
    served = validate_spec({**MINIMAL, "serve": True}, "run.yaml")
    assert served == validate_spec(MINIMAL, "run.yaml")


def test_a_list_that_holds_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds itself"):
        read_spec(write(tmp_path, yaml.safe_dump(MINIMAL) + "variants: &a [*a]\n"))


@pytest.mark.parametrize("foreign", sorted(FOREIGN_NAMES))
def test_foreign_names_lead_to_keys_that_exist(foreign: str) -> None:
    path = FOREIGN_NAMES[foreign].name.partition(":")[0].split(".")
    model: Any = RunSpec
    for part in path:
        assert part in model.model_fields, f"{foreign} leads to {'.'.join(path)}, which does not exist"
        model = model.model_fields[part].annotation


@pytest.mark.parametrize("text", ["2024-13-45", "!!int x", "!!bool x", "!!float x", "9" * 5000])
def test_what_no_calendar_and_no_type_has_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"name: a\ndescription: {text}\n")
    with pytest.raises(ConfigError, match="quote it where it is text") as refused:
        read_spec(path)
    assert refused.value.where == f"{path}:2"
    with pytest.raises(ConfigError, match="is not a YAML value"):
        apply_overrides(MINIMAL, [f"name={text}"])


def test_a_key_given_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "name: a\ntask: extraction\nname: b\n")
    with pytest.raises(ConfigError, match=r"run\.yaml:3: key 'name' is given twice"):
        read_spec(path)


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", "a: [1", ""])
def test_what_is_no_description_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        read_spec(write(tmp_path, text))


def test_a_missing_file_and_a_binary_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.yaml"):
        read_spec(tmp_path / "none.yaml")
    path = tmp_path / "run.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_spec(path)


def test_python_objects_in_yaml_are_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        read_spec(write(tmp_path, "name: !!python/object/apply:os.system ['true']\n"))


def test_overrides_reach_sections_lists_and_short_forms() -> None:
    values = {**MINIMAL, "variants": ["merged", {"backend": "llmcompressor", "scheme": "W4A16"}]}
    changed = apply_overrides(
        values,
        [
            "train.learning_rate=1e-4",
            "train.lora.r=4",
            "variants.1.group_size=32",
            "base_model.revision=main",
            "evaluate.target.field_f1=0.9",
        ],
    )
    assert changed["train"] == {"learning_rate": 1e-4, "lora": {"r": 4}}
    assert changed["variants"][1]["group_size"] == 32
    assert changed["base_model"] == {"name": "hone:tiny", "revision": "main"}
    assert changed["evaluate"] == {"target": {"field_f1": 0.9}}
    assert "train" not in values  # the original is untouched


@pytest.mark.parametrize("override", ["train.learning_rate", "=3", "name.x.y=1", "variants.7=merged"])
def test_overrides_that_lead_nowhere_are_refused(override: str) -> None:
    with pytest.raises(ConfigError):
        validate_spec(apply_overrides({**MINIMAL, "variants": ["merged"]}, [override]), "run.yaml")


@given(st.text(max_size=60))
def test_no_text_makes_anything_but_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        apply_overrides(MINIMAL, [text])
    with contextlib.suppress(ConfigError):
        validate_spec({**MINIMAL, "name": text}, "run.yaml")


def test_typed_values_are_set_as_overrides_are() -> None:
    """A number stays one however it is written: as YAML, 1e-05 would be a text."""
    values = {**MINIMAL, "variants": [{"name": "a"}], "serve": False}
    changed = set_keys(values, {"train.learning_rate": 1e-05, "variants.0.group_size": 32, "serve.engine": "vllm"})
    assert changed["train"] == {"learning_rate": 1e-05}
    assert changed["variants"] == [{"name": "a", "group_size": 32}]
    assert changed["serve"] == {"engine": "vllm"}
    assert values["variants"] == [{"name": "a"}]
    with pytest.raises(ConfigError, match="'1' is no index of a list of 1") as caught:
        set_keys(values, {"variants.1.group_size": 32})
    assert caught.value.where == "variants.1.group_size"
