"""The round trip through a real Label Studio: exported sheets in, two people's annotations out, figures by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.human import SheetItem
from tests.control.test_human import Desk
from tests.support.label_studio import label_studio, label_studio_command

pytestmark = pytest.mark.slow


def better(item: SheetItem, *, turned: bool = False) -> str:
    return "A" if ("answer" in item.answer_a) != turned else "B"


def test_label_studio_takes_the_sheets_and_gives_the_answers(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    command = label_studio_command()
    desk = Desk(tmp_path, capsys)
    made = desk.hone("export", "triage", "--to", tmp_path / "sheets")
    key = {item.code: item for item in desk.key(made["sheet"]).items}
    files, back = tmp_path / "sheets" / "label_studio", tmp_path / "back"
    back.mkdir()
    with label_studio(command, tmp_path_factory.mktemp("label-studio")) as server:
        first, second = 1, server.add_user("second@people.test")
        for kind, to in (("pairwise", "question"), ("rating", "answer_a")):
            project = server.new_project(f"{kind} sheet", files / f"{kind}.json", files / f"{kind}.xml")
            tasks = server.tasks(project)
            assert set(tasks) == {code for code, item in key.items() if item.kind == kind}
            for place, (code, task) in enumerate(sorted(tasks.items())):
                item = key[code]
                if kind == "rating":
                    value = {"rating": 5 if "answer" in item.answer_a else 2}
                    server.annotate(task, first, "rating", to, value)
                    continue
                server.annotate(task, first, "preference", to, {"choices": [better(item)]})
                said = {"choices": [better(item, turned=place < 2)]}
                server.annotate(task, second, "preference", to, said, skip=place == 2)
            server.export(project, back / f"{kind}.json")
        found = desk.hone("import", back, "--to", tmp_path / "again")
        # 16 items, the right answer preferred: 15 times the tuned model's. Two are open, one has a single answer.
        preference = found["preference"]
        assert preference["wins"] + preference["losses"] == 14 and preference["ties"] == 4 + 2
        assert (found["annotators"], found["answers"], found["missing"], found["open"]) == (2, 31 + 32, 1, 2)
        assert found["ratings"]["difference"] == pytest.approx((15 * 3 - 3) / 16)
        alphas = [item for item in found["agreement"] if item["name"] == "Krippendorff's alpha, nominal"]
        assert alphas[0]["score"]["n"] == 15 and 0 < alphas[0]["score"]["value"] < 1

        again = tmp_path / "again" / "label_studio"
        names = (again / "adjudication-pairwise.json", again / "adjudication-pairwise.xml")
        project = server.new_project("adjudication", *names)
        for code, task in server.tasks(project).items():
            server.annotate(task, first, "preference", "question", {"choices": [better(key[code])]})
        decided = server.export(project, tmp_path / "decided.json")
    final = desk.hone("import", back, "--adjudicated", decided)
    assert (final["open"], final["adjudicated"]) == (0, 2)
    assert (final["preference"]["wins"], final["preference"]["losses"], final["preference"]["ties"]) == (15, 1, 4)
