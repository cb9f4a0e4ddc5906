"""YAML's plain types, with every value that is none of them refused as YAML's own errors, which name the line."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml


class YamlLoader(yaml.SafeLoader):
    """A safe loader of which a date that no calendar has is an error of the YAML, not of Python."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node, or an error that names its line."""
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, ArithmeticError) as error:  # !!int x, !!bool x, 2024-13-45, 5,000 digits
            told = f"{str(node.value)[:40]!r} is no {node.tag.rpartition(':')[2]}: quote it where it is text"
            raise yaml.constructor.ConstructorError(None, None, told, node.start_mark) from error


class StrictYamlLoader(YamlLoader):
    """One that also refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping whose keys differ."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is a plain value, not a list or mapping", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def load_yaml(text: str) -> Any:
    """Return the value of a YAML text.

    Raises:
        yaml.YAMLError: it is none.
    """
    return yaml.load(text, YamlLoader)  # noqa: S506 - a SafeLoader
