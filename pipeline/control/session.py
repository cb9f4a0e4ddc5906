"""From a description's path to a carried-out, registered and reported run, in one workspace."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.control.caller import Caller
from pipeline.control.controller import Controller, Outcome
from pipeline.control.options import RunOptions
from pipeline.control.runs import RunDirectory, RunList
from pipeline.core.errors import RegistryError, from_record
from pipeline.core.registry import Registry, RunStatus, TrackedCall
from pipeline.core.spec import read_spec
from pipeline.core.workspace import Store, write_atomic
from pipeline.embedded import EMBEDDED
from pipeline.execute import load
from pipeline.resolve import Resolver
from schemas.artifacts import Manifest, Stored
from schemas.base import ArtifactRef, StageName
from schemas.events import Event
from schemas.register import RegisterArtifact
from schemas.resolved import ResolvedRun
from schemas.run import RunSpec

_TRACKED_STATUS: Mapping[str, RunStatus] = {"finished": "finished", "stopped": "running", "failed": "failed"}
"""How a run ended here, in the tracker's words."""


@dataclass(frozen=True)
class Prepared:
    """A run that is written down and can be carried out."""

    run: ResolvedRun
    directory: RunDirectory


@dataclass(frozen=True)
class Session:
    """One workspace with its registry.

    Args:
        root: the workspace, absolute.
        open_registry: opens the registry; called only when it is needed.
        caller: carries out stage calls.
        secrets: values by name.
    """

    root: Path
    open_registry: Callable[[], Registry]
    caller: Caller
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def store(self) -> Store:
        """The workspace's artifacts."""
        return Store(self.root)

    @property
    def runs(self) -> RunList:
        """The workspace's runs."""
        return RunList(self.root)

    def resolve(self, spec_path: Path, overrides: Sequence[str] = (), *, for_plan: bool = False) -> ResolvedRun:
        """Read and resolve a description; a run that was started before keeps its champion, and its base where it made
        the version that the base's name leads to now.

        ``for_plan``: a base of the Hub that cannot be looked up stays unresolved; such a run can only be planned.

        Raises:
            HoneError: whatever is wrong with the description or what it names.
        """
        spec = read_spec(spec_path, overrides)
        return self.resolve_spec(spec, spec_path.absolute().parent, for_plan=for_plan)

    def resolve_spec(self, spec: RunSpec, folder: Path, *, for_plan: bool = False) -> ResolvedRun:
        """Resolve a description whose relative paths start at ``folder``; see `resolve`."""
        resolver = Resolver(
            folder=folder,
            store=self.store,
            registry=self.open_registry,
            runs=self.runs,
            embedded=EMBEDDED,
            token=self.secrets.get("HF_TOKEN"),
            for_plan=for_plan,
        )
        run = self.runs.began_as(resolver.resolve(spec))
        known = self.runs.directory(run.run_id())
        champion = known.read().champion if known.exists() else resolver.champion(spec)
        return run.model_copy(update={"champion": champion})

    def prepare(self, run: ResolvedRun) -> Prepared:
        """Write the run down, as it is asked for now."""
        directory = self.runs.directory(run.run_id())
        directory.write(run)
        return Prepared(run, directory)

    def try_out(
        self, run: ResolvedRun, last: StageName, sink: Callable[[Event], None], cancelled: Callable[[], bool]
    ) -> dict[str, ArtifactRef]:
        """Carry out a run's first stages without starting it: their artifacts are kept, and the run finds them done.

        Data that its preflight refuses is returned as well: to look at it.

        Returns:
            The artifacts by call id.

        Raises:
            HoneError: what a call failed with.
        """
        with TemporaryDirectory(prefix="hone-try-") as folder:
            directory = RunDirectory(Path(folder))
            controller = Controller(self.root, self.caller, sink, cancelled, self.secrets)
            outcome = controller.carry_out(run, directory, RunOptions(last=last, refuses=False))
            if outcome.error is not None:
                raise from_record(outcome.error)
            return {
                name: ArtifactRef(stage=call["stage"], fingerprint=call["fingerprint"])
                for name, call in directory.calls().items()
            }

    def carry_out(
        self, prepared: Prepared, options: RunOptions, sink: Callable[[Event], None], cancelled: Callable[[], bool]
    ) -> Outcome:
        """Carry the run out and project it into the registry, whether it came to its end or not."""
        controller = Controller(self.root, self.caller, sink, cancelled, self.secrets)
        outcome = controller.carry_out(prepared.run, prepared.directory, options)
        self.track(prepared, outcome)
        return outcome

    def track(self, prepared: Prepared, outcome: Outcome) -> None:
        """Show the run in the tracker and register its version; what the registry holds already is left alone.

        A version record that was made again with other content is a version of its own.

        Raises:
            IntegrityError: the files of the version are not those of its manifest.
            RegistryError: the registry cannot be read, or holds this version under another name.
        """
        tracked = self._finished(prepared.directory)
        calls = {call.call_id: [call.manifest.fingerprint, call.manifest.content_digest] for call in tracked}
        state = {"status": outcome.status, "calls": calls}
        registry = self.open_registry()
        registry.log_run(prepared.run.spec.name, prepared.directory.run, tracked, _TRACKED_STATUS[outcome.status])
        decided = next((call.manifest for call in tracked if call.call_id == "register"), None)
        path = prepared.directory.path / "tracked.json"
        held = decided is None or registry.find_version(_ref(decided), decided.content_digest) is not None
        if held and path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("state") == state:
            return
        version, notice = (None, None) if decided is None else self._register(prepared, registry, _ref(decided))
        write_atomic(path, json.dumps({"state": state, "version": version, "notice": notice}, indent=2) + "\n")

    def _finished(self, directory: RunDirectory) -> list[TrackedCall]:
        """Return the run's calls whose artifact is there; one that was removed since is no longer shown."""
        found = []
        for call_id, call in directory.calls().items():
            if call["fingerprint"] is None:
                continue
            ref = ArtifactRef(stage=call["stage"], fingerprint=call["fingerprint"])
            folder = self.store.directory(ref)
            manifest = self.store.manifest(ref)
            if manifest is not None:
                config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
                found.append(TrackedCall.of(call_id, manifest, config, folder))
        return found

    def _register(self, prepared: Prepared, registry: Registry, ref: ArtifactRef) -> tuple[int, str | None]:
        """Give the run's version its number; one that passed its gate becomes candidate, then champion if it is to.

        It takes the champion's place only from the version that it was compared with; otherwise it stays candidate and
        the notice says why.
        """
        self.store.verify(ref)
        record: Stored[RegisterArtifact] = load(self.store, ref)
        name = record.artifact.name
        source = record.path.relative_to(self.root).as_posix()
        version = registry.register_version(name, record.artifact, record.ref, record.content_digest, source)
        if record.artifact.decision.verdict != "promoted":
            return version, None
        if version not in registry.alias_history(name, "candidate"):
            registry.set_alias(name, "candidate", version, registry.alias(name, "candidate"))
        if prepared.run.spec.promote == "candidate" or version in registry.alias_history(name, "champion"):
            return version, None  # a rollout decides, or it was champion before and a later rollback stands
        beaten = prepared.run.champion.version if prepared.run.champion is not None else None
        try:
            registry.set_alias(name, "champion", version, beaten)
        except RegistryError as error:
            return version, f"{name}@{version} passed its gate and stays candidate: {error.message}"
        return version, None


def _ref(manifest: Manifest) -> ArtifactRef:
    return ArtifactRef(stage=manifest.stage, fingerprint=manifest.fingerprint)


def registered(directory: RunDirectory) -> tuple[int | None, str | None]:
    """Return the number of the version that a run registered, and what the registry had to say."""
    path = directory.path / "tracked.json"
    if not path.is_file():
        return None, None
    state = json.loads(path.read_text(encoding="utf-8"))
    return state.get("version"), state.get("notice")


def version_of(directory: RunDirectory) -> int | None:
    """Return the number of the version that a run registered, None where it has none."""
    return registered(directory)[0]
