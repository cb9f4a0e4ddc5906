from __future__ import annotations

import json
from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from local_runner.demo.phrases import PRODUCTS, URGENCY
from local_runner.demo.triage import INTENTS, Record, draw_ticket, swap_letters


def test_records_are_compact_json_in_a_fixed_order() -> None:
    record = Record(intent="refund", product="lamp", urgency="low")
    assert record.to_json() == '{"intent":"refund","product":"lamp","urgency":"low"}'


def test_all_labels_occur_and_faults_twice_as_often() -> None:
    random = Random(0)
    records = [draw_ticket(random).record for _ in range(7000)]
    assert {record.product for record in records} == set(PRODUCTS)
    assert {record.urgency for record in records} == set(URGENCY)
    counts = Counter(record.intent for record in records)
    # 7 equal chances, two of them faults: 2000 and 1000 expected, with standard deviations of 38 and 29.
    assert abs(counts["fault"] - 2000) < 4 * 38
    assert all(abs(counts[intent] - 1000) < 4 * 30 for intent in INTENTS if intent != "fault")


def test_every_message_names_its_product() -> None:
    random = Random(1)
    for _ in range(2000):
        ticket = draw_ticket(random)
        letters = Counter(ticket.message.lower())
        # A typo swaps letters inside one word, so the letters of a name stay.
        assert any(not Counter(form) - letters for form in PRODUCTS[ticket.record.product])


def test_most_messages_name_more_than_one_product_or_need() -> None:
    random = Random(2)
    forms = [form for names in PRODUCTS.values() for form in names]
    messages = [draw_ticket(random).message.lower() for _ in range(2000)]
    assert sum(sum(form in message for form in forms) > 1 for message in messages) > 0.5 * len(messages)


@given(st.text(max_size=40), st.integers())
def test_swapping_keeps_letters_and_words(text: str, seed: int) -> None:
    swapped = swap_letters(text, Random(seed))
    assert Counter(swapped) == Counter(text)
    assert swapped.count(" ") == text.count(" ")


def test_messages_are_valid_json_strings() -> None:
    ticket = draw_ticket(Random(3))
    assert json.loads(json.dumps(ticket.message)) == ticket.message
