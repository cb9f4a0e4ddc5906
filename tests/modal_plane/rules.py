"""What Modal refuses when a function is created, refused here in the same place."""

from __future__ import annotations

from modal_proto import api_pb2

from .ids import invalid

_NAMES = "T4 L4 A10 A10G A100 A100-40GB A100-80GB L40S RTX-PRO-6000 H100 H100! H200 B200 B200+ B300 ANY"
GPUS = frozenset(_NAMES.split())
"""GPU types that a function may ask for, as the client sends them (upper case)."""
MAX_GPUS = {"A10": 4, "A10G": 4}
DAY = 24 * 60 * 60
MAX_RETRIES = 10
MAX_RETRY_DELAY_MS = 60_000


def check_function(definition: api_pb2.Function) -> None:
    """Refuse a definition that Modal would refuse.

    Raises:
        GRPCError: INVALID_ARGUMENT, which the client shows as InvalidError.
    """
    name = definition.function_name
    _check_gpu(name, definition.resources.gpu_config)
    if definition.scheduler_placement.nonpreemptible and definition.resources.gpu_config.count:
        raise invalid(f"{name}: `nonpreemptible` is not supported for Functions with a GPU")
    for field, seconds in (("timeout", definition.timeout_secs), ("startup_timeout", definition.startup_timeout_secs)):
        if not 1 <= seconds <= DAY:
            raise invalid(f"{name}: `{field}` must be between 1 second and 24 hours, not {seconds} s")
    policy = definition.retry_policy
    if policy.retries > MAX_RETRIES:
        raise invalid(f"{name}: at most {MAX_RETRIES} retries, not {policy.retries}")
    if policy.max_delay_ms > MAX_RETRY_DELAY_MS:
        raise invalid(f"{name}: `max_delay` is at most 60 s, not {policy.max_delay_ms / 1000:g} s")
    if definition._experimental_group_size and definition.resources.gpu_config.count != 8:
        raise invalid(f"{name}: each container of a cluster must ask for all GPUs of its host, such as `H100:8`")
    _check_schedule(name, definition.schedule)


def _check_gpu(name: str, gpu: api_pb2.GPUConfig) -> None:
    if not gpu.count and not gpu.gpu_type:
        return
    if gpu.gpu_type not in GPUS:
        raise invalid(f"{name}: unknown GPU type {gpu.gpu_type!r}; known: {', '.join(sorted(GPUS))}")
    if not 1 <= gpu.count <= MAX_GPUS.get(gpu.gpu_type, 8):
        raise invalid(f"{name}: {gpu.count} x {gpu.gpu_type} is more than one container can have")


def _check_schedule(name: str, schedule: api_pb2.Schedule) -> None:
    if schedule.WhichOneof("schedule_oneof") == "cron" and len(schedule.cron.cron_string.split()) != 5:
        raise invalid(f"{name}: cron expression {schedule.cron.cron_string!r} does not have five fields")
