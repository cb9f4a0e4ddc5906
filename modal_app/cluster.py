"""Training in several containers: a cluster of Modal's, whose first container carries the stage out.

The others get the rows and the checkpoint from the first, and the base's weights from the Volumes; they write nothing.
A cluster's size is fixed when the app is made, by `Settings.nodes`: without one there is no function here.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import modal

from modal_app.app import SECRETS, stages
from modal_app.attempts import attempt
from modal_app.envelope import Envelope
from modal_app.images import image
from modal_app.settings import SETTINGS
from modal_app.sizes import declared, size
from modal_app.volumes import ARTIFACTS, WORKSPACE
from pipeline.backends.training.distributed_nodes import follow
from pipeline.catalog import TRAIN
from pipeline.core.errors import ConfigError
from pipeline.plan.machine import Machine
from schemas.placement import NODE_GPUS, Placement

_log = logging.getLogger(__name__)

WHOLE_HOST = f"H100:{NODE_GPUS}"
"""What each container of a cluster asks for where nothing else was declared: all GPUs of its host."""


def attempt_in_cluster(text: str) -> str:
    """Carry out the attempt that an envelope describes, in the first container; take part in it in the others."""
    envelope = Envelope.model_validate_json(text)
    cluster = modal.Cluster.from_context()
    addresses = cluster.container_ips()
    changes = {"nodes": len(addresses), "address": addresses[0]}
    processes = envelope.request.processes.model_copy(update=changes)
    if (node := cluster.container_rank()) == 0:
        request = envelope.request.model_copy(update={"processes": processes})
        return attempt(envelope.model_copy(update={"request": request}).model_dump_json())
    try:
        ARTIFACTS.reload()
        follow(processes, node)
    except Exception:  # noqa: BLE001 - the boundary: whatever it is, this container is of no more use
        _log.exception("this container of the cluster ends")
        os._exit(1)  # to who waits, a lost container: the attempt is made again
    return ""


def placement() -> Placement:
    """Return what the cluster takes: by the plan of the description that sizes the app, else whole hosts."""
    place = size("train", TRAIN)
    if place.nodes == SETTINGS.nodes:
        return place
    return Machine.with_gpus((WHOLE_HOST,), 0, place.timeout, SETTINGS.nodes).placed()


CLUSTER: modal.Function[..., Any, Any] | None = None
"""The function of the cluster; None in an app without one."""

if SETTINGS.nodes > 1:

    @stages.function(
        image=image(TRAIN),
        volumes=WORKSPACE,
        secrets=SECRETS,
        max_containers=SETTINGS.workers * SETTINGS.nodes,
        single_use_containers=True,
        **{"gpu": WHOLE_HOST, **declared("train", TRAIN)},
    )
    @modal.clustered(size=SETTINGS.nodes, rdma=True)
    def train_cluster_stage(envelope: str) -> str:
        """Train one seed in all containers of a cluster."""
        return attempt_in_cluster(envelope)

    CLUSTER = train_cluster_stage


def cluster_for(place: Placement) -> modal.Function[..., Any, Any]:
    """Return the function that trains on ``place``, which has several containers.

    Raises:
        ConfigError: the app was made with a cluster of another size, or without one.
    """
    if CLUSTER is None or place.nodes != SETTINGS.nodes:
        made = f"a cluster of {SETTINGS.nodes} containers" if CLUSTER is not None else "no cluster"
        raise ConfigError(
            f"the app was made with {made}, and the run trains on {place.nodes}",
            where="hardware.train.nodes",
            fix=f"set HONE_MODAL_NODES={place.nodes}, or HONE_MODAL_CONFIG to the description, and run or deploy again",
        )
    return CLUSTER
