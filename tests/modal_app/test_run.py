"""``modal run -m modal_app.main``: a whole run through containers."""

from __future__ import annotations

import pytest

from tests.modal_app.plane import StartHome, printed_json
from tests.support.smoke import write_smoke

pytestmark = pytest.mark.modal


def test_a_run_goes_through_containers_and_its_report_comes_back(start_home: StartHome) -> None:
    home = start_home()
    spec = write_smoke(home.folder / "smoke")
    done = home.run("--config", spec, "--yes", "--to", home.folder / "here", "--json")
    print(done.stdout)
    assert done.returncode == 10
    ended = printed_json(done.stdout)
    assert ended["status"] == "finished"
