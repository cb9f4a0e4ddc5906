"""The folder that receives records from Modal: its own, and none that holds a workspace of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from modal_app.client.mirror import MARKER, Mirror
from modal_app.volumes import ARTIFACTS
from pipeline.core.errors import ConfigError


def test_a_new_folder_is_made_and_taken_again(tmp_path: Path) -> None:
    mirror = Mirror(ARTIFACTS, tmp_path / "new")
    mirror.claim()
    assert (tmp_path / "new" / MARKER).read_text() == '{"app": "hone"}\n'
    (tmp_path / "new" / "mlflow.db").touch()  # fetched
    mirror.claim()


@pytest.mark.parametrize("name", ["mlflow.db", "runs", "artifacts"])
def test_a_workspace_of_this_machine_is_left_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(ConfigError, match="a workspace of this machine") as caught:
        Mirror(ARTIFACTS, tmp_path).claim()
    assert caught.value.where == str(tmp_path) and "--to" in (caught.value.fix or "")
    assert not (tmp_path / MARKER).exists()


def test_a_folder_of_another_app_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text('{"app": "triage"}\n')
    with pytest.raises(ConfigError, match="what was fetched of app triage"):
        Mirror(ARTIFACTS, tmp_path).claim()
