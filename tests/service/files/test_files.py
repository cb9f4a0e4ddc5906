"""`/v1/files`: what comes in comes out, in pages, and nothing stays of what was refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from pipeline.service.store import files as file_store
from tests.support.service import MAX_FILE_BYTES, ROWS, Service, order, upload


def shelved(service: Service) -> list[Path]:
    return [path for path in service.shelf.folder.rglob("*") if path.is_file()]


def test_a_file_comes_out_as_it_came_in(service: Service, client: TestClient) -> None:
    content = bytes(range(256)) * 500
    made = upload(client, content).json()
    assert made == {
        "id": made["id"],
        "object": "file",
        "bytes": len(content),
        "created_at": made["created_at"],
        "expires_at": None,
        "filename": "rows.jsonl",
        "purpose": "fine-tune",
        "status": "processed",
        "status_details": None,
    }
    assert client.get(f"/v1/files/{made['id']}").json() == made
    answer = client.get(f"/v1/files/{made['id']}/content")
    assert answer.content == content
    assert answer.headers["content-type"] == "application/octet-stream"
    known = service.records.files.get(made["id"])
    assert known is not None and known.sha256 == hashlib.sha256(content).hexdigest()


def test_lists_have_pages(client: TestClient) -> None:
    names = [upload(client).json()["id"] for _ in range(5)]
    batch = upload(client, purpose="batch").json()["id"]
    first = client.get("/v1/files", params={"limit": 2}).json()
    assert [file["id"] for file in first["data"]] == [batch, names[4]]
    assert (first["has_more"], first["first_id"], first["last_id"]) == (True, batch, names[4])
    rest = client.get("/v1/files", params={"limit": 4, "after": names[4]}).json()
    assert [file["id"] for file in rest["data"]] == [names[3], names[2], names[1], names[0]]
    assert rest["has_more"] is False
    rising = client.get("/v1/files", params={"order": "asc", "purpose": "fine-tune"}).json()
    assert [file["id"] for file in rising["data"]] == names
    assert client.get("/v1/files", params={"after": "file-unknown"}).json()["error"]["param"] == "after"
    assert client.get("/v1/files", params={"limit": 0}).status_code == 400


def test_a_deleted_file_is_gone(service: Service, client: TestClient) -> None:
    name = upload(client).json()["id"]
    assert client.delete(f"/v1/files/{name}").json() == {"id": name, "object": "file", "deleted": True}
    for answer in (client.get(f"/v1/files/{name}"), client.delete(f"/v1/files/{name}")):
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"
    assert shelved(service) == []


def test_a_file_stays_while_a_job_reads_it(client: TestClient) -> None:
    job = order(client).json()
    file = job["training_file"]
    refused = client.delete(f"/v1/files/{file}")
    assert refused.status_code == 400 and job["id"] in refused.json()["error"]["message"]
    client.post(f"/v1/fine_tuning/jobs/{job['id']}/cancel")
    assert client.delete(f"/v1/files/{file}").json()["deleted"] is True


@pytest.mark.parametrize("length", [MAX_FILE_BYTES + 1, 4 * MAX_FILE_BYTES])
def test_a_file_that_is_too_large_leaves_nothing(service: Service, client: TestClient, length: int) -> None:
    """The first is refused as it is counted, the second by its stated length."""
    refused = upload(client, b"x" * length)
    assert refused.status_code == 413
    assert refused.json()["error"]["code"] == "too_large"
    assert shelved(service) == [] and client.get("/v1/files").json()["data"] == []
    assert upload(client, b"x" * MAX_FILE_BYTES).status_code == 200


@pytest.mark.parametrize(
    ("how", "param"),
    [
        ({"content": b""}, "file"),
        ({"purpose": "assistants"}, "purpose"),
        ({"color": "red"}, "color"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "60"}, "expires_after"),
        ({"expires_after[anchor]": "created_at"}, "expires_after"),
    ],
)
def test_what_does_not_fit_is_named(service: Service, client: TestClient, how: dict[str, Any], param: str) -> None:
    refused = upload(client, **how)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == param
    assert shelved(service) == []


def test_a_name_leads_nowhere(service: Service, client: TestClient) -> None:
    made = upload(client, name="../../../etc/cron.d/rows.jsonl").json()
    assert made["filename"] == "rows.jsonl"
    assert shelved(service) == [service.shelf.folder / f"{made['id']}.jsonl"]
    for path in ("..%2F..%2Fservice.db", "../service.db", "%2e%2e/service.db"):
        assert client.get(f"/v1/files/{path}/content").status_code == 404


@pytest.mark.parametrize(
    ("name", "purpose", "suffix"),
    [("upload", "fine-tune", ".jsonl"), ("a.txt", "fine-tune", ".jsonl"), ("a.CSV", "fine-tune", ".csv"),
     ("a.parquet", "fine-tune", ".parquet"), ("a.csv", "batch", ".jsonl")],
)  # fmt: skip
def test_a_name_says_how_rows_are_read(
    service: Service, client: TestClient, name: str, purpose: str, suffix: str
) -> None:
    made = upload(client, name=name, purpose=purpose).json()
    assert made["filename"] == name
    assert shelved(service) == [service.shelf.folder / f"{made['id']}{suffix}"]


def test_a_file_expires(service: Service, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    made = upload(client, **{"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}).json()
    assert made["expires_at"] == made["created_at"] + 3600
    assert client.get(f"/v1/files/{made['id']}").status_code == 200
    monkeypatch.setattr(file_store, "now", lambda: made["expires_at"])
    assert client.get(f"/v1/files/{made['id']}").status_code == 404
    assert client.get("/v1/files").json()["data"] == []
    following = upload(client).json()["id"]
    assert [path.stem for path in shelved(service)] == [following]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form",
        b"--b\r\n",
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n' + ROWS,
        b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n\xff\r\n--b--\r\n',
        2 * b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n' + b"--b--\r\n",
        2 * b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\nx\r\n' + b"--b--\r\n",
    ],
)
def test_a_form_that_cannot_be_read_leaves_nothing(service: Service, client: TestClient, body: bytes) -> None:
    refused = client.post("/v1/files", content=body, headers={"content-type": "multipart/form-data; boundary=b"})
    assert refused.status_code == 400, refused.text
    assert shelved(service) == []


@pytest.mark.parametrize("kind", ["", "application/json", "multipart/form-data", "multipart/form-data; boundary="])
def test_only_forms_are_read(client: TestClient, kind: str) -> None:
    assert client.post("/v1/files", content=b"{}", headers={"content-type": kind}).status_code == 400


def test_fields_have_a_limit(service: Service, client: TestClient) -> None:
    assert upload(client, purpose="x" * 100_000).status_code == 413
    assert shelved(service) == []
