"""From a configuration to a gateway: who serves what, who is champion, and which rollouts go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.core.errors import ConfigError
from pipeline.service.gateway.adapters import NAMED_BY, folder_digest
from pipeline.service.gateway.catalogue import Catalogue
from pipeline.service.gateway.director import Director
from pipeline.service.gateway.store import GatewayStore
from pipeline.service.gateway.table import Adapter, Served, Table, Target
from schemas.gateway import GatewayConfig, ServedModel


def make_table(config: GatewayConfig, catalogue: Catalogue, store: GatewayStore, secrets: Mapping[str, str]) -> Table:
    """Return who answers before any rollout.

    Args:
        config: which engines serve which versions.
        catalogue: tells who is champion where the configuration does not.
        store: where it does, rollouts that ended since are followed to the champion that they made.
        secrets: environment variables with the engines' keys.

    Raises:
        ConfigError: a champion is not known or not served, or a key is missing.
    """
    headers = {name: _headers(name, engine.api_key_env, secrets) for name, engine in config.engines.items()}
    versions = {version: Served(version, tuple(_targets(config, version, headers))) for version in config.versions}
    champions = {}
    for name, model in config.models.items():
        champion = _champion(name, model, catalogue, store)
        if champion not in versions:
            fix = "say under versions which engine serves it"
            raise ConfigError(f"the champion {champion} is served nowhere", where=f"models.{name}", fix=fix)
        champions[name] = versions[champion]
    return Table(versions, champions)


def begin(config: GatewayConfig, director: Director, store: GatewayStore, catalogue: Catalogue) -> None:
    """Go on with the rollouts that had not ended, and begin those of the configuration that never began.

    Raises:
        ConfigError: the gate refused a candidate.
    """
    for running in store.running():
        champion = director.table.champions.get(running.name)
        served = running.candidate in director.table.versions
        if champion is not None and champion.version == running.champion and served:
            director.resume(running)
        else:
            director.drop(running, "its champion or candidate is another one now")
    for name, model in config.models.items():
        champion = director.table.champions[name]
        if model.candidate is None or model.candidate == champion.version or director.active(name) is not None:
            continue
        known = any(
            found.champion == champion.version and found.candidate == model.candidate for found in store.rollouts(name)
        )
        if not known and refused_by_gate(catalogue, model.candidate):
            fix = "see hone show version; to have it all the same, hone promote it with a reason"
            raise ConfigError(f"the gate refused {model.candidate}", where=f"models.{name}.candidate", fix=fix)
        if not known:
            director.start(name, model.candidate, model.policy)


def refused_by_gate(catalogue: Catalogue, version: str) -> bool:
    """Tell whether a version may not take traffic by itself."""
    facts = catalogue.facts(version)
    return facts is not None and facts.verdict == "refused"


def _champion(name: str, model: ServedModel, catalogue: Catalogue, store: GatewayStore) -> str:
    if model.champion is None:
        found = catalogue.champion(name)
        if found is None:
            raise ConfigError(
                "nobody is champion", where=f"models.{name}", fix=f"hone promote {name}@NUMBER, or name a champion here"
            )
        return found
    champion = model.champion
    made = {found.champion: found.candidate for found in store.rollouts(name) if found.state.status == "promoted"}
    while champion in made:
        champion = made.pop(champion)
    return champion


def _targets(config: GatewayConfig, version: str, headers: Mapping[str, dict[str, str]]) -> Iterator[Target]:
    served = config.versions[version]
    adapter = None
    if served.adapter is not None:
        path = Path(served.adapter.path)
        adapter = Adapter(str(path), folder_digest(path))
        if served.adapter.digest not in (None, adapter.digest):
            where, fix = f"versions.{version}.adapter", "name the folder of that content"
            raise ConfigError(f"{path} has other content than the digest says", where=where, fix=fix)
    for engine, model in served.engines.items():
        name = model if adapter is None else f"{model}-{adapter.digest[:NAMED_BY]}"
        url = config.engines[engine].base_url
        yield Target(engine, url, name, headers[engine], adapter, is_fresh=adapter is None)


def _headers(engine: str, variable: str | None, secrets: Mapping[str, str]) -> dict[str, str]:
    if variable is None:
        return {}
    key = secrets.get(variable)
    if not key:
        raise ConfigError(f"{variable} is not set", where=f"engines.{engine}.api_key_env", fix="set it to the key")
    return {"Authorization": f"Bearer {key}"}
