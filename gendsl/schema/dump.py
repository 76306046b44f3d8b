"""Plain data -> YAML text that the loader reads back to the same data."""

from __future__ import annotations

from typing import Any

import yaml


def dump(data: Any) -> str:
    """Block style, keys in the order given, short lists of scalars on one line."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


class _Dumper(yaml.SafeDumper):
    """Lists of scalars in flow style; no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _sequence(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
    flow = all(not isinstance(item, dict | list) for item in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)


_Dumper.add_representer(list, _sequence)
_Dumper.add_representer(tuple, lambda dumper, data: _sequence(dumper, list(data)))
