"""All environment files and what they pin, for the tests of this folder."""

from __future__ import annotations

import re

from pipeline.environments import environment_names, requirements
from schemas.base import Device

DEVICES: tuple[Device, ...] = ("cpu", "cuda")
FILES = [(name, device) for device in DEVICES for name in environment_names(device)]


def canonical(package: str) -> str:
    """Return a package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def pins(name: str, device: Device) -> dict[str, str]:
    """Return package -> version; a package that stands twice in the file fails the test."""
    found: dict[str, str] = {}
    for line in requirements(name, device):
        package, _, rest = line.partition("==")
        assert canonical(package) not in found, f"{name}.{device}.txt pins {package} twice"
        found[canonical(package)] = rest.partition(" ")[0]
    return found
