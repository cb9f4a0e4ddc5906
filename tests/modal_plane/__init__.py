"""A control plane on loopback for the pinned modal client: the real ``modal`` command drives it, no account needed.

Written from modal_proto and the client's source. ``python -m tests.modal_plane --root FOLDER`` runs one by hand; tests
take the fixtures of fixture.py. What happens is real where hone depends on it: bodies run in Modal's own entrypoint,
each container with its own files, processes and Volume snapshot; the server's retries, preemption, timeouts and
cancellation; web functions and servers at HTTP addresses; what Modal refuses is refused.

What it does not show: image builds (they succeed at once; their lines are recorded), GPUs and their scheduling (the
first of a list is recorded), memory and CPU limits, quotas and prices, autoscaling beyond starting, draining and
ending, schedules (recorded, not fired), memory snapshots, Sandboxes, networks of their own (containers share the
machine's, so a server's port must be free and it has one container at a time), regions, several environments, app
versions and rollback, websockets. A call that nothing answers fails as unimplemented and is counted in
``plane.cloud.journal.unanswered``.

Assumed, where the client's source does not say: a reload commits what was not committed; a version 2 commit does not
reload; a killed container's inputs are scheduled again without limit; a lost container of a cluster ends the cluster.
"""
