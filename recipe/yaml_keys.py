"""YAML files whose keys a dataclass describes: reading them, and errors that name the key and the nearest valid one."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from recipe.errors import UserError

T = TypeVar("T")


class ConfigError(UserError):
    """A configuration that cannot be run; the message names the key and the fix."""


def read_keys(path: str | Path, overrides: Sequence[str] = ()) -> Any:
    """The keys of a YAML file, with ``key=value`` overrides (nested keys with dots) in their place.

    Raises:
        ConfigError: The file is not there or no YAML, or an override has no ``=``.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"no configuration at {path}: give a YAML file such as yamls/roberta_base.yaml")
    for override in overrides:
        if "=" not in override:
            raise ConfigError(f"override {override!r} has no '=': write key=value, e.g. optimizer.lr=1e-5")
    try:
        return OmegaConf.merge(OmegaConf.load(path), OmegaConf.from_dotlist(list(overrides)))
    except (OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}") from error


def parse_keys(given: Any, schema: type[T], where: str) -> T:
    """Fills in a schema's defaults and checks names and types.

    Args:
        given: The keys that differ from the defaults.
        schema: A dataclass.
        where: What errors call the keys' origin.

    Raises:
        ConfigError: With the key at fault, and the nearest valid one if it is unknown.
    """
    try:
        _check_keys(OmegaConf.to_container(given, resolve=False), schema, f"{where}: ")
        return cast(T, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), given)))
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{where}: {getattr(error, 'full_key', None) or 'configuration'}: {reason}") from error


def save_config(config: Any) -> str:
    """A configuration, all keys of it, as YAML that reads back to the same values."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def flatten(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The innermost values by their keys, joined with dots."""
    values: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            values.update(flatten(value, f"{prefix}{key}."))
        else:
            values[f"{prefix}{key}"] = value
    return values


def _check_keys(given: Any, schema: type, where: str, prefix: str = "") -> None:
    if not isinstance(given, dict):
        raise ConfigError(f"{where}{prefix.rstrip('.') or 'the file'} must hold keys, not {given!r}")
    types = get_type_hints(schema)
    names = [f.name for f in fields(schema)]
    for key, value in given.items():
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"valid keys: {', '.join(names)}"
            raise ConfigError(f"{where}unknown key {prefix}{key}: {hint}")
        inner = [kind for kind in (types[key], *get_args(types[key])) if isinstance(kind, type) and is_dataclass(kind)]
        if inner and value is not None:
            of_names = get_origin(types[key]) is dict  # dict[str, dataclass], else the dataclass or Optional of it
            for name, entry in value.items() if of_names and isinstance(value, dict) else [("", value)]:
                _check_keys(entry, inner[0], where, f"{prefix}{key}.{name}." if name else f"{prefix}{key}.")
