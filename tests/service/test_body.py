"""Any text is a request or a refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.service.refusal import STATUS, Refused
from pipeline.service.webhook import parse_body
from schemas.webhook import NewRows, RetrainRequest
from tests.service.support import BODY


def test_a_number_that_would_be_infinite_is_refused() -> None:
    body = '{"type": "retrain", "version": "a", "rows": [{"a": {"b": [1e999]}}]}'
    with pytest.raises(Refused, match="1e999 is too large a number"):
        parse_body(body, RetrainRequest)
    with pytest.raises(ValidationError, match=r"rows\.0\.a\n.*a number is too large"):
        RetrainRequest.model_validate_json(body, strict=True)


def test_many_errors_are_told_shortly() -> None:
    rows = ["x" * 10_000] * 100
    with pytest.raises(Refused) as caught:
        parse_body(json.dumps({**BODY, "rows": rows}), RetrainRequest)
    assert len(caught.value.error.message) < 2000
    assert caught.value.error.message.endswith("and 95 more")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["type", "version", "data", "rows", "combine", "start_from", "overrides", "constraints"])
bodies = st.dictionaries(keys | st.text(max_size=5), json_values, max_size=6).map(lambda more: {**BODY, **more})


@given(st.text() | json_values.map(json.dumps) | bodies.map(json.dumps))
def test_any_body_is_a_request_or_a_refusal(text: str) -> None:
    try:
        request = parse_body(text, RetrainRequest)
    except Refused as refused:
        assert STATUS[refused.error.code] in (400, 422)
        assert refused.error.where
        return
    assert parse_body(request.model_dump_json(), RetrainRequest) == request
    assert (request.rows is None) != (request.data is None)


rows = st.lists(st.dictionaries(st.text(min_size=1), json_values, min_size=1, max_size=3), min_size=1, max_size=3)


@pytest.mark.slow
@given(rows)
def test_rows_arrive_as_they_were_sent(sent: list[dict[str, Any]]) -> None:
    text = json.dumps({**BODY, "rows": sent})
    try:
        request = parse_body(text, RetrainRequest)
    except Refused as refused:
        assert refused.error.code in ("malformed", "invalid")  # NaN is no JSON; infinity is too large
        return
    assert json.dumps(request.model_dump(mode="json")["rows"]) == json.dumps(sent)


named = st.dictionaries(st.sampled_from(["type", "name", "rows"]) | st.text(max_size=5), json_values, max_size=4)


@given(st.text() | named.map(lambda more: json.dumps({"type": "data", "name": "triage", "rows": [{"a": 1}], **more})))
def test_any_body_brings_rows_or_is_refused(text: str) -> None:
    try:
        found = parse_body(text, NewRows)
    except Refused as refused:
        assert STATUS[refused.error.code] in (400, 422) and refused.error.where
        return
    assert found.rows and all(found.rows) and parse_body(found.model_dump_json(), NewRows) == found
