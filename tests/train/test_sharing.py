"""How a training is shared: rows, settings, and what is refused before any process starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.core.errors import ConfigError, EnvironmentMissing
from pipeline.core.shares import share_batch
from pipeline.core.spec import validate_spec
from pipeline.plan.processes import training_processes
from pipeline.train.distributed import shared_by
from schemas.base import Reference, canonical_digest
from schemas.base_model import BaseModelRef
from schemas.distributed import ALONE, DistributedOptions, Offload, Processes, ZeroOptimization
from schemas.placement import Placement
from schemas.train import TrainConfig
from tests.support.training import train_config

BASE = BaseModelRef(name="any", weights=Reference(location="any", digest="0" * 64))


def config(**changes: Any) -> TrainConfig:
    return train_config(BASE, **{"per_device_train_batch_size": 8, "gradient_accumulation_steps": 4, **changes})


@pytest.mark.parametrize(
    ("batch", "accumulation", "processes", "expected"),
    [
        (8, 4, 1, (8, 4)),
        (8, 4, 4, (8, 4)),  # one micro-batch of 8 for each
        (8, 4, 8, (4, 8)),  # gcd(4, 8) = 4: half a micro-batch is missing
        (16, 1, 4, (4, 4)),
        (6, 4, 12, (2, 12)),  # gcd(4, 12) = 4, a third of 6
    ],
)
def test_a_step_keeps_its_rows(batch: int, accumulation: int, processes: int, expected: tuple[int, int]) -> None:
    assert share_batch(batch, accumulation, processes) == expected
    assert expected[0] * expected[1] == batch * accumulation
    assert expected[1] % processes == 0


def test_rows_that_cannot_be_shared_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"a step of 6 rows \(3 x 2\) cannot be shared by 4 processes") as caught:
        share_batch(3, 2, 4)
    assert caught.value.where == "train.gradient_accumulation_steps"
    with pytest.raises(ConfigError):
        shared_by(config(per_device_train_batch_size=1, gradient_accumulation_steps=3), Processes(per_node=2))


@pytest.mark.parametrize(
    ("changes", "processes", "strategy"),
    [
        ({}, ALONE, None),
        ({}, Processes(per_node=4), "ddp"),
        ({}, Processes(per_node=4, tight=True), "fsdp2"),
        ({"adapter": "qlora"}, Processes(per_node=4, tight=True), "ddp"),
        ({"distributed": {"strategy": "zero3"}}, Processes(per_node=4), "zero3"),
        ({"distributed": {"strategy": "fsdp2"}}, ALONE, None),
        ({"distributed": {"strategy": "fsdp2", "fsdp_config": {"cpu_offload": True}}}, ALONE, "fsdp2"),
        (
            {"distributed": {"strategy": "zero2", "zero_optimization": {"offload_optimizer": {"device": "cpu"}}}},
            ALONE,
            "zero2",
        ),
    ],
)
def test_what_is_shared_and_how(changes: dict[str, Any], processes: Processes, strategy: str | None) -> None:
    shared = shared_by(config(**changes), processes)
    assert (None if shared is None else shared.strategy) == strategy


def test_how_it_is_shared_is_no_part_of_what_it_is() -> None:
    plain = config()
    for strategy in ("ddp", "fsdp2", "zero2", "zero3"):
        assert canonical_digest(config(distributed={"strategy": strategy})) == canonical_digest(plain)


@pytest.mark.parametrize(
    ("train", "told"),
    [
        ({"distributed": {"strategy": "fsdp"}}, "train.distributed.strategy: input should be 'ddp', 'fsdp2', 'zero2'"),
        (
            {"distributed": {"strategy": "ddp", "fsdp_config": {"cpu_offload": True}}},
            "train.distributed: fsdp_config belongs to strategy fsdp2, and this is ddp",
        ),
        (
            {"distributed": {"strategy": "fsdp2", "fsdp_config": {"reshard_after_foward": True}}},
            "train.distributed.fsdp_config.reshard_after_foward: unknown key; did you mean reshard_after_forward?",
        ),
        (
            {"distributed": {"strategy": "zero2", "zero_optimization": {"stage3_prefetch_bucket_size": 5}}},
            "train.distributed: offload_param and stage3_* belong to strategy zero3",
        ),
        (
            {"distributed": {"strategy": "fsdp2", "ddp_bucket_cap_mb": 25}},
            "train.distributed: ddp_* belongs to strategy ddp, and this is fsdp2",
        ),
        ({"adapter": "qlora", "distributed": {"strategy": "zero3"}}, "4-bit weights are not sharded"),
    ],
)
def test_a_description_that_mixes_strategies_is_refused(train: dict[str, Any], told: str) -> None:
    spec = {"name": "n", "task": "generation", "base_model": "b", "data": {"path": "p"}, "train": train}
    with pytest.raises(ConfigError) as caught:
        validate_spec(spec, source="spec")
    assert told in str(caught.value)


def test_several_machines_need_a_port() -> None:
    with pytest.raises(ValidationError, match="need a port"):
        Processes(nodes=2)


def test_processes_are_the_gpus_of_a_placement() -> None:
    machine = {"cpu": 4.0, "memory": 8192, "timeout": 60, "dollars_per_second": 0.0}
    assert training_processes(Placement(**machine), None) == ALONE
    four = training_processes(Placement(gpu="H100:4", count=4, **machine), None)
    assert (four.count, four.nodes, four.tight) == (4, 1, False)
    two = training_processes(Placement(gpu="H100!:8", count=8, nodes=2, **machine), None)
    assert (two.count, two.nodes, two.port) == (16, 2, 29_400)


def shares(
    rows: int, batch: int, accumulation: int, count: int, epoch: int = 0, whole: int | None = None
) -> list[list[list[Any]]]:
    """Return each process's micro-batches of an epoch."""
    from accelerate.data_loader import SeedableRandomSampler

    from pipeline.backends.training.distributed_rows import Shares

    found = []
    for rank in range(count):
        share = Shares(
            SeedableRandomSampler(range(rows), data_seed=7),
            rows=rows,
            whole_batch=whole or batch,
            micro_batch=batch,
            accumulation=accumulation,
            rank=rank,
            count=count,
        )
        share.set_epoch(epoch)
        found.append(list(share))
        assert len(share) == len(found[-1])
    return found


@pytest.mark.parametrize(("rows", "count"), [(24, 2), (21, 2), (21, 3), (5, 4), (1, 4)])
def test_together_processes_take_the_rows_of_one(rows: int, count: int) -> None:
    (alone,) = shares(rows, 2, 2 * count, 1)
    together = shares(rows, 2, 2, count)
    assert len({len(batches) for batches in together}) == 1
    steps = -(-rows // (4 * count))
    for step in range(steps):
        expected = sorted(row for batch in alone[2 * count * step : 2 * count * (step + 1)] for row, _ in batch)
        taken = [batch for batches in together for batch in batches[2 * step : 2 * (step + 1)]]
        assert sorted(row for batch in taken for row, weight in batch if weight) == expected
        assert sum(batch[0][1] for batch in taken) == pytest.approx(len(taken))


def test_the_weights_of_a_short_step() -> None:
    """Five rows in micro-batches of 2 for two processes: three count, the fourth does not, so 4 / 3 for each."""
    first, second = shares(5, 2, 2, 2)
    assert [batch[0][1] for batch in first] == pytest.approx([4 / 3, 4 / 3])
    assert [batch[0][1] for batch in second] == pytest.approx([4 / 3, 0.0])
    assert [len(batch) for batch in (*first, *second)] == [2, 1, 2, 1]


def test_the_weights_of_a_short_step_in_smaller_batches() -> None:
    """One process alone takes 4 rows at once: 4 and 3 of 7. Here they are 2, 2, 2 and 1, of two processes.

    Each of its two means is a half; of the first, a part has 2 / 4 rows, of the second 2 / 3 and 1 / 3. The mean here
    is over 4: the weights are 4 x 1/2 x 1/2 = 1, 1, 4 x 1/2 x 2/3 = 4/3 and 2/3.
    """
    first, second = shares(7, 2, 2, 2, whole=4)
    assert [batch[0][1] for batch in first] == pytest.approx([1.0, 4 / 3])
    assert [batch[0][1] for batch in second] == pytest.approx([1.0, 2 / 3])


def test_every_epoch_has_its_own_order() -> None:
    assert shares(24, 2, 2, 2, epoch=0) != shares(24, 2, 2, 2, epoch=1)


def test_transformers_takes_the_words_of_fsdp2(tmp_path: Path) -> None:
    from trl import SFTConfig

    from pipeline.backends.training.distributed_arguments import fsdp_config

    options = DistributedOptions.model_validate(
        {
            "strategy": "fsdp2",
            "fsdp_config": {"cpu_offload": True, "transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"]},
        }
    )
    words = fsdp_config(options, reads_once=True)
    arguments = SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, fsdp=True, fsdp_config=words)
    assert arguments.fsdp_plugin_args == {
        "fsdp_version": 2,
        "cpu_offload": True,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "transformer_cls_names_to_wrap": "LlamaDecoderLayer",
        "cpu_ram_efficient_loading": True,
        "state_dict_type": "FULL_STATE_DICT",
        "reshard_after_forward": True,
    }


def test_deepspeeds_config_says_what_was_asked() -> None:
    from accelerate.utils.deepspeed import HfDeepSpeedConfig

    from pipeline.backends.training.distributed_arguments import deepspeed_config

    zero = {"offload_param": {"device": "cpu"}, "reduce_bucket_size": "auto", "overlap_comm": True}
    options = DistributedOptions.model_validate({"strategy": "zero3", "zero_optimization": zero})
    config = deepspeed_config(options)
    read = HfDeepSpeedConfig(config)
    assert read.is_zero3()
    assert read.is_offload()
    assert config["zero_optimization"] == {
        "stage": 3,
        "offload_param": {"device": "cpu", "pin_memory": False},
        "reduce_bucket_size": "auto",
        "overlap_comm": True,
    }
    plain = deepspeed_config(DistributedOptions(strategy="zero2"))
    assert plain["zero_optimization"] == {"stage": 2}
    assert not HfDeepSpeedConfig(plain).is_zero3()


def test_deepspeed_has_every_key_that_a_description_may_set() -> None:
    zero = pytest.importorskip("deepspeed.runtime.zero.config", reason="NO DEEPSPEED HERE")
    known = {field.alias or name for name, field in zero.DeepSpeedZeroConfig.model_fields.items()}
    assert set(ZeroOptimization.model_fields) <= known
    assert set(Offload.model_fields) <= set(zero.DeepSpeedZeroOffloadOptimizerConfig.model_fields)
    assert set(Offload.model_fields) <= set(zero.DeepSpeedZeroOffloadParamConfig.model_fields)


def test_without_deepspeed_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from pipeline.backends.training import distributed_arguments as arguments
    from pipeline.backends.training.distributed_ranks import Ranks
    from pipeline.backends.training.job import TrainJob
    from pipeline.core.context import CallContext
    from tests.support.tiny_model import tiny_tokenizer

    monkeypatch.setattr(arguments.importlib.util, "find_spec", lambda name: None)
    job = TrainJob(
        config=config(),
        train=(),
        validation=(),
        tokenizer=tiny_tokenizer(),
        scratch=tmp_path,
        output=tmp_path,
        context=CallContext(),
        shared=DistributedOptions(strategy="zero2"),
        ranks=Ranks(0, 2, None),
    )
    with pytest.raises(EnvironmentMissing, match="strategy zero2 needs deepspeed"):
        arguments.shared_arguments(job)
