"""The table of fault classes: what the preflight looks for, how grave each is, and what to do about it.

Codes are stable: they stand in ``preflight.ignore``, in artifacts and on model cards. docs/preflight.md is made of this
table.
"""

from __future__ import annotations

from typing import Literal

from schemas.base import Schema

FaultCode = Literal[
    # rendering
    "no_row_left",
    "unrenderable_row",
    "generation_markers_missing",
    "no_trained_token",
    "last_turn_silent",
    "no_trained_token_after_truncation",
    "wrong_turns_trained",
    "weights_ignored",
    "earlier_turns_untrained",
    "end_of_turn_untrained",
    "end_of_turn_twice",
    "bos_doubled",
    "bos_missing",
    "joined_prompt",
    "system_dropped",
    "tools_dropped",
    "reasoning_dropped",
    "turn_dropped",
    "special_token_in_text",
    "rows_too_long",
    "most_rows_too_long",
    # tokenizer
    "template_of_another_model",
    "pad_is_end_of_turn",
    "vocabulary_too_small",
    # data
    "unusable_row",
    "empty_answer",
    "answer_repeats_prompt",
    "contradiction",
    "exact_duplicate",
    "near_duplicate",
    "disagreeing_near_duplicates",
    "personal_data",
    "personal_data_in_answers",
    "undeclared_language",
    # splits
    "few_rows",
    "training_asks_test",
    "test_copies_training",
    "test_near_training",
    "test_trained_elsewhere",
    "test_group_in_training",
    "test_in_training_text",
    "benchmark_in_training",
    "benchmark_in_test",
    "test_too_small",
    # labels
    "undeclared_label",
    "few_rows_of_label",
    "label_never_trained",
    "one_answer",
    # preferences
    "equal_pair",
    "length_bias",
    "unpaired_as_answers",
    "unpaired_unbalanced",
    # serving
    "adapter_not_servable",
]
"""Every class by its code, in the order of the table."""

Severity = Literal["error", "warning"]
Subject = Literal["rendering", "tokenizer", "data", "splits", "labels", "preferences", "serving"]


class Fault(Schema):
    """One class of faults.

    Attributes:
        what: the fault, in words that row numbers can follow.
        fix: what to do about it.
        policy: the key of the description that says what becomes of such rows; under ``stop`` a warning is an error.
        ignorable: whether ``preflight.ignore`` may name it. What makes training meaningless or impossible may not be.
    """

    subject: Subject
    severity: Severity
    what: str
    fix: str
    policy: str | None = None
    ignorable: bool = True


def _fatal(subject: Subject, what: str, fix: str) -> Fault:
    return Fault(subject=subject, severity="error", what=what, fix=fix, ignorable=False)


def _error(subject: Subject, what: str, fix: str) -> Fault:
    return Fault(subject=subject, severity="error", what=what, fix=fix)


def _warning(subject: Subject, what: str, fix: str, policy: str | None = None) -> Fault:
    return Fault(subject=subject, severity="warning", what=what, fix=fix, policy=policy)


_BAD_ROWS = "data.bad_rows.action"

FAULTS: dict[FaultCode, Fault] = {
    "no_row_left": _fatal("rendering", "no row is left to train on", "raise train.max_length, or give more rows"),
    "unrenderable_row": _fatal(
        "rendering",
        "rows cannot be rendered",
        "bring the rows into the order of roles that the template accepts, or give another train.chat_template",
    ),
    "generation_markers_missing": _fatal(
        "rendering",
        "the chat template has no generation markers, and renders a turn differently once the conversation goes on, so "
        "the place of the assistant's turns cannot be found",
        "give a chat template with {% generation %} ... {% endgeneration %} around the assistant's part",
    ),
    "no_trained_token": _fatal(
        "rendering",
        "no token is trained",
        "give each row an assistant turn that has content and whose weight is not 0",
    ),
    "last_turn_silent": _fatal(
        "rendering",
        "the last assistant turn has weight 0, and completion_only_loss trains no other",
        "set train.assistant_only_loss to true and train.completion_only_loss to false",
    ),
    "no_trained_token_after_truncation": _fatal(
        "rendering",
        "no token is trained once the row is cut to max_length",
        "raise train.max_length, or set train.long_rows to drop",
    ),
    "wrong_turns_trained": _fatal(
        "rendering",
        "turns are trained that the loss excludes",
        "give a chat template whose generation markers enclose the assistant's part and nothing else",
    ),
    "weights_ignored": _error(
        "rendering",
        "the weight of a turn is not what is trained",
        "to train every assistant turn of weight 1 set train.assistant_only_loss to true and "
        "train.completion_only_loss to false; the sides of a preference have no weights: remove them",
    ),
    "earlier_turns_untrained": _warning(
        "rendering",
        "assistant turns before the last of their row are not trained",
        "to train every assistant turn set train.assistant_only_loss to true and train.completion_only_loss to false",
    ),
    "end_of_turn_untrained": _fatal(
        "rendering",
        "the end-of-turn token is never trained",
        "give a chat template that closes each assistant turn with a special token, inside its generation markers "
        "where it has them; where rows are cut, raise train.max_length or set train.long_rows to drop",
    ),
    "end_of_turn_twice": _error(
        "rendering",
        "the end-of-turn token is trained twice",
        "remove the end-of-turn token from the ends of the answers, or write it once in the template",
    ),
    "bos_doubled": _error(
        "rendering",
        "BOS stands twice at the beginning",
        "remove the beginning-of-sequence token from the text or from the template",
    ),
    "bos_missing": _warning(
        "rendering",
        "the tokenizer begins every text with BOS, and the chat template begins none with it",
        "write {{ bos_token }} at the beginning of train.chat_template, or use the template of the base",
    ),
    "joined_prompt": _error(
        "rendering",
        "a token joins the prompt and the answer, which no prompt at inference can",
        "remove the white space at the beginning of the answer, or end the template's generation prompt with a newline "
        "or a special token",
    ),
    "system_dropped": _error(
        "rendering",
        "the chat template leaves out the system turn",
        "give a train.chat_template that writes it, or move its words into the first user turn (data.prompt_template)",
    ),
    "tools_dropped": _error(
        "rendering",
        "the chat template leaves out tools, calls of them or their results",
        "give a train.chat_template that writes tools, tool_calls and the turns of role tool",
    ),
    "reasoning_dropped": _error(
        "rendering",
        "the chat template leaves out the reasoning of the last answer",
        "give a train.chat_template that writes reasoning_content, or remove it from the rows",
    ),
    "turn_dropped": _error(
        "rendering",
        "the chat template leaves out a turn of the user or the assistant",
        "give a train.chat_template that writes every turn",
    ),
    "special_token_in_text": _warning(
        "rendering",
        "a text holds one of the tokenizer's special tokens, which will be read as that token",
        "remove it from the text, or write it differently",
    ),
    "rows_too_long": _warning(
        "rendering", "rows are longer than max_length", "raise train.max_length", policy="train.long_rows"
    ),
    "most_rows_too_long": _error(
        "rendering",
        "more than half of the training rows are longer than max_length, and left out",
        "raise train.max_length, set train.long_rows to truncate, or give shorter rows",
    ),
    "template_of_another_model": _error(
        "tokenizer",
        "the chat template writes control tokens that the tokenizer does not know as tokens",
        "use the chat template that belongs to this tokenizer, or the tokenizer of the template's model",
    ),
    "pad_is_end_of_turn": _warning(
        "tokenizer",
        "padding and the end of a turn are the same token; hone masks padding by its place and trains the end, a tool "
        "that masks by the token would train none",
        "give the tokenizer a padding token of its own",
    ),
    "vocabulary_too_small": _fatal(
        "tokenizer",
        "a token's id is not below the base's vocab_size",
        "take the tokenizer that belongs to the base, or enlarge the base's embeddings",
    ),
    "unusable_row": _warning("data", "rows cannot be used", "correct them", policy=_BAD_ROWS),
    "empty_answer": _warning("data", "the answer is empty", "give the row an answer or remove it", policy=_BAD_ROWS),
    "answer_repeats_prompt": _warning(
        "data",
        "the answer is the prompt once more",
        "check that data.columns names two different columns; remove the rows if they are copies by mistake",
    ),
    "contradiction": _warning(
        "data", "rows ask the same and answer differently", "correct or remove them", policy="data.contradictions"
    ),
    "exact_duplicate": _warning("data", "rows are copies of earlier ones", "remove them, if they are not meant"),
    "near_duplicate": _warning(
        "data",
        "rows are nearly copies of earlier ones",
        "if they only share a frame, set data.prompt_template to it, or raise data.deduplicate.threshold",
    ),
    "disagreeing_near_duplicates": _warning(
        "data", "rows ask nearly the same and answer differently: their labels may be noisy", "look at their answers"
    ),
    "personal_data": _warning(
        "data", "rows hold personal data", "set data.personal_data.action to redact or drop, or correct the rows"
    ),
    "personal_data_in_answers": _warning(
        "data",
        "more than 1% of the rows answer with personal data, and a model trained on redacted answers would write "
        "placeholders such as [EMAIL]",
        "set data.personal_data.answers to keep to train these answers as they are, or to redact to train the "
        "placeholders; or set data.personal_data.action to drop or report",
        policy="data.personal_data.answers",
    ),
    "undeclared_language": _warning(
        "data",
        "most letters belong to a script that none of preflight.languages is written in",
        "add the language to preflight.languages, or remove the rows",
    ),
    "few_rows": _warning("splits", "a split has fewer than 10 rows, which teach or show next to nothing", "add rows"),
    "training_asks_test": _warning(
        "splits",
        "training rows ask what a validation or test row asks",
        "remove them from the training file; data.decontaminate: report trains on them all the same",
    ),
    "test_copies_training": _warning(
        "splits",
        "held-out rows have the very words of a training row",
        "set data.decontaminate to drop, or split by cluster",
    ),
    "test_near_training": _warning(
        "splits",
        "held-out rows are nearly copies of a training row; scores without them are shown apart",
        "split by cluster, or remove the training rows",
    ),
    "test_trained_elsewhere": _warning(
        "splits",
        "held-out rows repeat or nearly repeat rows that the base was trained on as a version of hone, or that are "
        "replayed",
        "hold out rows that the version's own data set holds out, or remove them from the test",
    ),
    "test_group_in_training": _warning(
        "splits",
        "held-out rows are of a group (data.columns.group) that training rows are of, too",
        "set data.split.by to group, or remove the group's rows from one of the files",
    ),
    "test_in_training_text": _warning(
        "splits",
        "held-out rows are quoted in longer training rows (70% of their word 8-grams or more)",
        "remove the passages from the training rows, or the rows from the test",
    ),
    "benchmark_in_training": _error(
        "splits",
        "items of preflight.benchmarks stand in training rows (70% of their word 8-grams or more)",
        "remove these rows: scores on that benchmark would show memory",
    ),
    "benchmark_in_test": _warning(
        "splits",
        "held-out rows are items of preflight.benchmarks, which the base may have been trained on",
        "test on rows that are not public",
    ),
    "test_too_small": _warning(
        "splits",
        "the test split is too small for the gain aimed at",
        "give more test rows, or aim at a larger gain",
    ),
    "undeclared_label": _warning("labels", "the label is none of data.labels", "correct it", policy=_BAD_ROWS),
    "few_rows_of_label": _warning(
        "labels", "a label has fewer than 5 training rows", "add rows of it, or join it with another label"
    ),
    "label_never_trained": _warning(
        "labels", "a label is tested and has no training row", "add training rows of it, or split by stratified"
    ),
    "one_answer": _warning(
        "labels", "every row has the same answer, so there is nothing to learn or to measure", "add other answers"
    ),
    "equal_pair": _warning(
        "preferences", "the chosen and the rejected answer are the same", "remove the pairs", policy=_BAD_ROWS
    ),
    "length_bias": _warning(
        "preferences",
        "one side of the pairs is nearly always the longer one, so that length alone tells which is better",
        "add pairs in which the shorter answer is the other one",
    ),
    "unpaired_as_answers": _error(
        "preferences",
        "rows carry a verdict (label true or false) on their answer, and the method trains bad answers like good ones",
        "train.method kto learns from them: set data.format to unpaired; else remove the rows whose label is false, or "
        "rename the column if it is no verdict",
    ),
    "unpaired_unbalanced": _warning(
        "preferences",
        "desirable and undesirable answers are out of balance (more than 4 to 1)",
        "add rows of the rarer verdict",
    ),
    "adapter_not_servable": _error(
        "serving",
        "vLLM cannot serve the adapter as it is asked for",
        "serve the merged variant (variants: [merged]), or change train.lora",
    ),
}
"""Every class, errors and warnings, in the order of `FaultCode`."""
