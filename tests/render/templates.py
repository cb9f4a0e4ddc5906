"""Chat templates for tests: one for each way in which a template can be good or bad."""

from __future__ import annotations

PLAIN_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Prefix-stable, without generation markers."""

LAST_TURN_MARKED = (
    "{% for m in messages %}"
    "{% if m['role'] == 'assistant' %}A: {% generation %}{{ m['content'] }}"
    "{% if loop.last %}<|im_end|>{% else %}<|im_start|>{% endif %}{% endgeneration %}{{ '\n' }}"
    "{% else %}U: {{ m['content'] }}{{ '\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}A: {% endif %}"
)
"""Not prefix-stable: an assistant turn ends differently once the conversation goes on. With markers."""

PROMPT_MARKED = LAST_TURN_MARKED.replace("A: {% generation %}", "{% generation %}A: ", 1)
"""Markers that enclose the generation prompt, as those of TRL's training template for gpt-oss do."""

LAST_TURN = LAST_TURN_MARKED.replace("{% generation %}", "").replace("{% endgeneration %}", "")
"""The same without markers."""

NO_END = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
"""No special token closes a turn."""

END_OUTSIDE = LAST_TURN_MARKED.replace(
    "{% if loop.last %}<|im_end|>{% else %}<|im_start|>{% endif %}{% endgeneration %}",
    "{% endgeneration %}{% if loop.last %}<|im_end|>{% else %}<|im_start|>{% endif %}",
)
"""Markers that leave the end of turn outside."""

EVERYTHING_MARKED = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{% set end = '<|im_end|>' if loop.last else '.' %}"
    "{{ 'A: ' + m['content'] + end }}{% else %}{% generation %}{{ 'U: ' + m['content'] }}{% endgeneration %}"
    "{% endif %}\n{% endfor %}{% if add_generation_prompt %}A: {% endif %}"
)
"""Markers around the user's turns instead of the assistant's."""

ONE_QUESTION = "{% if messages|length > 2 %}{{ raise_exception('only one question') }}{% endif %}" + PLAIN_CHATML
"""Refuses long conversations."""
