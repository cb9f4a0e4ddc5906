from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.backends.generate_transformers import TransformersGenerator
from pipeline.backends.memory_torch import run_batches
from pipeline.backends.model_transformers import load_causal_lm
from pipeline.backends.prefix_transformers import common_length
from pipeline.backends.sampling_torch import Sampling
from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.core.context import CallContext
from pipeline.core.errors import Cancelled, DataError, ModelError, OutOfMemory
from pipeline.core.models import ModelFiles
from schemas.evaluate import GenerationConfig
from schemas.events import Event
from tests.support.tiny_model import tiny_tokenizer, write_tiny_base
from tests.support.variants import random_adapter

VOCABULARY = 384


def files(folder: Path, adapter: Path | None = None) -> ModelFiles:
    return ModelFiles(str(folder), None, adapter, str(folder), False)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Untied and with large weights: a tied random model only repeats its last token, whatever came before.
    return write_tiny_base(tmp_path_factory.mktemp("base"), tie_word_embeddings=False, initializer_range=0.3)


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    generator = random.Random(0)
    return [[generator.randrange(3, 300) for _ in range(generator.randrange(1, 40))] for _ in range(20)]


def generator_of(folder: Path, *, stop_ids: set[int], adapter: Path | None = None) -> TransformersGenerator:
    model = load_causal_lm(files(folder, adapter))
    return TransformersGenerator(model, load_tokenizer(str(folder)), stop_ids=stop_ids, context_length=512)


def reference(model: Any, prompt: list[int], stop_ids: set[int], new_tokens: int) -> list[int]:
    """Greedy by the definition: the whole sequence again for every token, no cache, no padding, one prompt."""
    tokens = list(prompt)
    with torch.inference_mode():
        while len(tokens) < len(prompt) + new_tokens:
            tokens.append(int(model(torch.tensor([tokens]), use_cache=False).logits[0, -1].argmax()))
            if tokens[-1] in stop_ids:
                break
    return tokens[len(prompt) :]


def test_answers_are_those_of_greedy_decoding_without_cache_and_padding(base: Path, prompts: list[list[int]]) -> None:
    model = load_causal_lm(files(base))
    # A random model never says its end token by itself; stop at every seventh id, so that rows end at all lengths.
    stop_ids = set(range(0, VOCABULARY, 7))
    generator = generator_of(base, stop_ids=stop_ids)

    answers = generator.generate(prompts, GenerationConfig(max_new_tokens=12, batch_size=16), CallContext())

    assert [answer.token_ids for answer in answers] == [reference(model, prompt, stop_ids, 12) for prompt in prompts]
    assert {answer.finish_reason for answer in answers} == {"stop", "length"}
    assert [answer.prompt_tokens for answer in answers] == [len(prompt) for prompt in prompts]


ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 32},
    "mistral": {"sliding_window": 8},
    "gemma2": {"head_dim": 32, "sliding_window": 8},
    "gpt2": {"tie_word_embeddings": False, "n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 512},
    "mixtral": {"num_local_experts": 2, "num_experts_per_tok": 1},
}
FAST = ("qwen3", "mistral")


STOPS = range(0, VOCABULARY, 9)


def random_model(model_type: str) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "tie_word_embeddings": False,
    }
    options = ARCHITECTURES[model_type] if model_type == "gpt2" else {**sizes, **ARCHITECTURES[model_type]}
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, vocab_size=VOCABULARY, initializer_range=0.3, **options)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


@pytest.mark.parametrize(
    "model_type",
    [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES],
)
def test_an_answer_does_not_depend_on_its_batch(model_type: str, prompts: list[list[int]]) -> None:
    model = random_model(model_type)
    stop_ids = set(STOPS)
    generator = TransformersGenerator(model, tiny_tokenizer(), stop_ids=stop_ids, context_length=512)

    answers = [
        generator.generate(prompts, GenerationConfig(max_new_tokens=10, batch_size=size), CallContext())
        for size in (1, 32)
    ]

    assert answers[0] == answers[1]
    # The answers hang on what came before, or the comparison would show nothing.
    assert len({answer.token_ids[0] for answer in answers[0]}) > 8
    assert any(len(set(answer.token_ids)) > 5 for answer in answers[0])
    assert [answer.token_ids for answer in answers[1][:8]] == [
        reference(model, prompt, stop_ids, 10) for prompt in prompts[:8]
    ]


def test_an_adapter_answers_as_it_does_when_merged(base: Path, prompts: list[list[int]], tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = random_adapter(tmp_path, base).path / "model"
    merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).merge_and_unload().eval()
    config = GenerationConfig(max_new_tokens=6, batch_size=64)

    answers = generator_of(base, stop_ids=set(), adapter=adapter).generate(prompts[:8], config, CallContext())
    plain = generator_of(base, stop_ids=set()).generate(prompts[:8], config, CallContext())

    assert [answer.token_ids for answer in answers] == [reference(merged, prompt, set(), 6) for prompt in prompts[:8]]
    assert answers != plain


def test_answers_end_with_the_context(base: Path) -> None:
    model = load_causal_lm(files(base))
    generator = TransformersGenerator(model, load_tokenizer(str(base)), stop_ids=set(), context_length=16)

    answers = generator.generate([[5] * 10, [5] * 14], GenerationConfig(max_new_tokens=4), CallContext())

    assert [(answer.completion_tokens, answer.finish_reason) for answer in answers] == [
        (4, "length"),
        (2, "length"),
    ]
    with pytest.raises(DataError, match="prompt 1: the model's context of 16 tokens"):
        generator.generate([[5] * 16], GenerationConfig(max_new_tokens=4), CallContext())


def test_sampled_answers_depend_on_seed_and_not_on_the_batch(base: Path, prompts: list[list[int]]) -> None:
    generator = generator_of(base, stop_ids=set())

    def answers(seed: int, batch_size: int) -> list[list[int]]:
        config = GenerationConfig(max_new_tokens=6, temperature=1.0, top_p=0.9, seed=seed, batch_size=batch_size)
        return [answer.token_ids for answer in generator.generate(prompts, config, CallContext())]

    assert answers(1, 64) == answers(1, 7)
    assert answers(1, 64) != answers(2, 64)


def test_nucleus_sampling_by_hand() -> None:
    # Probabilities .5, .3, .2 for tokens 2, 0, 1. top_p .7 keeps tokens 2 and 0 (mass .8): u < .5/.8 = .625 gives
    # token 2, any larger one token 0. top_p .5 keeps token 2 alone.
    logits = torch.tensor([[0.3, 0.2, 0.5]]).log().expand(4, 3)
    uniforms = torch.tensor([[0.0], [0.62], [0.63], [0.999]], dtype=torch.float64)

    def chosen(top_p: float) -> list[int]:
        tokens: list[int] = Sampling(1.0, top_p, uniforms).choose(logits, range(4), 0).tolist()
        return tokens

    assert chosen(0.7) == [2, 2, 0, 0]
    assert chosen(0.4) == [2, 2, 2, 2]
    # Without a cut: cumulated .5, .8, 1.
    assert chosen(1.0) == [2, 0, 0, 1]


def test_temperature_sharpens() -> None:
    # p = (.8, .2): at temperature 1/2 the weights are .64 and .04, so token 0 has .64/.68 = .941.
    logits = torch.tensor([[0.8, 0.2]]).log().expand(2, 2)
    uniforms = torch.tensor([[0.94], [0.942]], dtype=torch.float64)
    assert Sampling(0.5, 1.0, uniforms).choose(logits, range(2), 0).tolist() == [0, 1]
    assert Sampling(1.0, 1.0, uniforms).choose(logits, range(2), 0).tolist() == [1, 1]


@pytest.mark.parametrize("model_type", ["llama", "mistral", pytest.param("gpt2", marks=pytest.mark.slow)])
def test_a_shared_beginning_changes_no_answer(model_type: str, prompts: list[list[int]]) -> None:
    # 40 tokens that all prompts begin with; mistral's sliding window forbids sharing and must answer the same.
    shared = [prompt[:9] for prompt in prompts]
    beginning = [7 + place * 11 % 300 for place in range(40)]
    asked = [[*beginning, *prompt] for prompt in shared]
    assert common_length(asked) == 40
    model = random_model(model_type)
    generator = TransformersGenerator(model, tiny_tokenizer(), stop_ids=set(STOPS), context_length=512)

    together = generator.generate(asked, GenerationConfig(max_new_tokens=8), CallContext())

    assert [answer.token_ids for answer in together] == [reference(model, prompt, set(STOPS), 8) for prompt in asked]
    assert together[3] == generator.generate([asked[3]], GenerationConfig(max_new_tokens=8), CallContext())[0]


@given(
    prefix=st.lists(st.integers(0, 3), max_size=6),
    rest=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), min_size=1, max_size=5),
)
def test_the_common_beginning_is_the_longest_that_leaves_a_token(prefix: list[int], rest: list[list[int]]) -> None:
    asked = [[*prefix, *end] for end in rest]
    length = common_length(asked)
    assert len({tuple(prompt[:length]) for prompt in asked}) == 1
    assert length == min(map(len, asked)) - 1 or len({tuple(prompt[: length + 1]) for prompt in asked}) > 1


@pytest.mark.slow
@given(
    batch_size=st.integers(1, 9),
    rows=st.integers(0, 40),
    fits=st.integers(1, 9),
)
@settings(deadline=None, max_examples=15)
def test_batches_halve_until_they_fit_and_no_row_is_lost(batch_size: int, rows: int, fits: int) -> None:
    done: list[int] = []
    sizes: list[int] = []

    def work(batch: Any) -> None:
        sizes.append(len(batch))
        if len(batch) > fits:
            torch.empty(1 << 60)  # a real refusal of the real allocator
        done.extend(batch)

    run_batches(work, range(rows), batch_size, CallContext())

    assert done == list(range(rows))
    assert len([size for size in sizes if size > fits]) <= batch_size.bit_length()


@pytest.mark.slow
def test_recovery_from_memory_is_told_and_a_row_that_never_fits_is_an_error() -> None:
    events: list[Event] = []

    def work(batch: Any) -> None:
        torch.empty(1 << 60)

    with pytest.raises(OutOfMemory, match="a single prompt does not fit into memory"):
        run_batches(work, range(8), 4, CallContext(sink=events.append))
    assert [event.data for event in events if event.kind == "recovery"] == [
        {"batch_size": 2},
        {"batch_size": 1},
    ]


def test_other_errors_of_torch_are_not_taken_for_memory() -> None:
    def work(batch: Any) -> None:
        torch.zeros(2) @ torch.zeros(3)

    with pytest.raises(RuntimeError, match="size"):
        run_batches(work, range(8), 4, CallContext())


def test_a_generation_can_be_cancelled_between_two_tokens(base: Path) -> None:
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with pytest.raises(Cancelled):
        generator_of(base, stop_ids=set()).generate(
            [[5, 6, 7]], GenerationConfig(max_new_tokens=400), CallContext(cancelled=cancelled)
        )
    assert asked == 4


def test_a_model_without_cache_is_refused() -> None:
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=1, state_size=4)
    with pytest.raises(ModelError, match="has no key-value cache"):
        TransformersGenerator(MambaForCausalLM(config), tiny_tokenizer(), stop_ids=set(), context_length=None)


@pytest.mark.real_data
def test_the_published_greedy_output_of_stories260k_is_reproduced(real_data: Path) -> None:
    folder = real_data / "model_stories260K"
    published = (folder / "golden_greedy.txt").read_text(encoding="utf-8").rstrip("\n")
    tokenizer = load_tokenizer(str(folder / "hf"))
    generator = TransformersGenerator(load_causal_lm(files(folder / "hf")), tokenizer, stop_ids={2}, context_length=512)
    assert tokenizer.bos_token_id is not None
    # llama2.c starts from BOS alone and ran 256 steps for the published text.
    answer = generator.generate([[tokenizer.bos_token_id]], GenerationConfig(max_new_tokens=256), CallContext())[0]

    assert answer.text == published
