from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError
from pipeline.data.template import RowTemplate

VALUE = st.text(st.characters(exclude_categories=["Cs"]))


@given(VALUE, VALUE)
def test_values_stand_in_the_text_as_they_are(first: str, second: str) -> None:
    template = RowTemplate("<{{ a }}|{{ b }}>\n", "key", ["a", "b"])
    assert template.render({"a": first, "b": second}) == f"<{first}|{second}>\n"  # no escaping, no lost line end


@given(st.text(max_size=40))
def test_any_text_is_a_template_or_one_config_error(source: str) -> None:
    try:
        template = RowTemplate(source, "data.prompt_template", ["a"])
    except ConfigError as error:
        assert error.where == "data.prompt_template"
        return
    try:
        template.render({"a": "x"})
    except ValueError as error:
        assert str(error).startswith("the template fails")


def test_filters_and_conditions_work() -> None:
    template = RowTemplate("{% if b %}{{ a | upper }}{% else %}{{ b | default('-') }}{% endif %}", "key", ["a", "b"])
    assert template.render({"a": "x", "b": 1}) == "X"
    assert RowTemplate("{{ a | tojson }}", "key", ["a"]).render({"a": {"k": [1]}}) == '{"k": [1]}'


def test_the_columns_that_are_read_are_known() -> None:
    assert RowTemplate("{{ c }}{{ a }}", "key", ["a", "b", "c"]).columns == ("a", "c")


def test_an_unknown_name_is_answered_with_the_nearest_column() -> None:
    with pytest.raises(
        ConfigError, match=r"data.prompt_template: the template names 'txt', which is no column \(did you mean 'text'"
    ):
        RowTemplate("{{ txt }}", "data.prompt_template", ["text", "label"])


def test_a_broken_template_names_its_line() -> None:
    with pytest.raises(ConfigError, match=r"not a template: .* \(line 2\)"):
        RowTemplate("a\n{{ text", "data.prompt_template", ["text"])


def test_an_unknown_filter_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="No filter named 'uper'"):
        RowTemplate("{{ text | uper }}", "key", ["text"])


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ a }}", "'a' is undefined"),  # StrictUndefined: a missing column is never an empty text
        ("{{ b + 1 }}", "the template fails"),
        ("{{ b.__class__.__mro__ }}", "unsafe"),
        ("{{ c.append(1) }}", "unsafe|not safely callable"),
        ("{% for i in range(10000000) %}x{% endfor %}", "Range too big"),
    ],
)
def test_what_fails_on_a_row_is_a_reason_and_harms_nothing(source: str, reason: str) -> None:
    values = {"b": "x", "c": [0]}
    with pytest.raises(ValueError, match=reason):
        RowTemplate(source, "key", ["a", "b", "c"]).render(values)
    assert values == {"b": "x", "c": [0]}


def test_a_null_is_never_written_as_a_word() -> None:
    template = RowTemplate("{{ a }}", "data.prompt_template", ["a"])
    with pytest.raises(ValueError, match="null"):
        template.render({"a": None})
    tested = RowTemplate("{% if a is none %}-{% else %}{{ a }}{% endif %}", "data.prompt_template", ["a"])
    assert (tested.render({"a": None}), tested.render({"a": 0})) == ("-", "0")
