"""What Prometheus reads: every request once, under its route, and nothing of what was asked."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.service.api.exposition import family
from pipeline.service.api.traffic import BUCKETS, Traffic
from pipeline.service.store.outbox import new_event
from pipeline.service.store.pool import RowPool
from tests.support.service import Service, order

LINE = re.compile(r'# (HELP|TYPE) \w+ .+|\w+(\{\w+="([^"\\\n]|\\.)*"(,\w+="([^"\\\n]|\\.)*")*\})? [-+.e0-9]+')


def test_the_text_is_of_prometheuss_format_by_hand() -> None:
    lines = list(family("m", "gauge", "Says.", [("", {"a": 'x"\\\n'}, 1.5), ("_sum", {}, 2.0), ("", {"b": "c"}, 1e-7)]))
    assert lines == ["# HELP m Says.", "# TYPE m gauge", 'm{a="x\\"\\\\\\n"} 1.5', "m_sum 2", 'm{b="c"} 1e-07']
    assert all(map(LINE.fullmatch, lines))


def test_times_are_counted_into_every_bucket_that_holds_them() -> None:
    traffic = Traffic()
    for seconds in (0.005, 0.03, 100.0):
        traffic.note("GET", "/v1/files", 200, seconds)
    lines = list(traffic.lines())
    counts = [int(line.split()[-1]) for line in lines if "_bucket" in line]
    assert counts == [1, 1, *[2] * (len(BUCKETS) - 2), 3]
    assert 'hone_service_request_seconds_sum{route="/v1/files"} 100.035' in lines
    assert 'hone_service_request_seconds_count{route="/v1/files"} 3' in lines
    assert 'hone_service_requests_total{method="GET",route="/v1/files",status="200"} 3' in lines


def test_the_service_counts_what_passes_and_what_waits(tmp_path: Path) -> None:
    service = Service(tmp_path, told=["https://receiver.example/hook"])
    client = service.client(service.key())
    job = order(client).json()["id"]
    client.get(f"/v1/fine_tuning/jobs/{job}")
    client.get("/secret-path-of-jane")
    service.client().get("/v1/files")
    client.request("BREW", "/v1/files")
    with service.records.engine.begin() as connection:
        service.records.outbox.add(connection, new_event("fine_tuning.job.failed", {"id": job}))
    RowPool(service.records.engine).add("triage", "msg_1", [{"a": 1}] * 3, 5.0)
    answer = service.client().get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert all(map(LINE.fullmatch, lines)) and "jane" not in answer.text and job not in answer.text
    for line in (
        'hone_service_requests_total{method="POST",route="/v1/fine_tuning/jobs",status="200"} 1',
        'hone_service_requests_total{method="GET",route="/v1/fine_tuning/jobs/{fine_tuning_job_id}",status="200"} 1',
        'hone_service_requests_total{method="GET",route="none",status="404"} 1',
        'hone_service_requests_total{method="GET",route="/v1/files",status="401"} 1',
        'hone_service_requests_total{method="other",route="/v1/files",status="405"} 1',
        'hone_service_jobs{status="queued"} 1',
        'hone_service_webhooks{state="pending"} 1',
        'hone_service_waiting_rows{name="triage"} 3',
    ):
        assert line in lines, line
    service.close()
