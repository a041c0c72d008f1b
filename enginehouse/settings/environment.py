"""From an environment to settings: one pass over all variables, and one error that names all.

An empty variable is an unset one. Values are taken as they are, spaces included.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from enginehouse.errors import SettingsError
from enginehouse.settings.group_values import given, refusals, values_of
from enginehouse.settings.groups import MOST_PORT, OPEN_WORDS, PREFIX
from enginehouse.settings.names import unknown_names
from enginehouse.settings.overrides import ENGINE_PREFIX, engine_values
from enginehouse.settings.process import Settings

GroupT = TypeVar("GroupT")

_HOME = PREFIX + "HOME"


def load_settings(environ: Mapping[str, str], *, cwd: Path) -> Settings:
    """Read all settings from an environment.

    Args:
        environ: usually ``os.environ``.
        cwd: folder in which the default home ``.enginehouse`` lies, and at which a relative home
            starts.

    Raises:
        SettingsError: naming each variable that has a wrong value or that nothing reads, its
            value unless it is a secret, and what to write instead.
    """
    # Imported here: an engine reads one group of settings, and does without pydantic-settings.
    from enginehouse.settings.source import read_environment

    refused: dict[str, str] = {}
    default = {_HOME: str(cwd / ".enginehouse")}
    settings = read_environment(default, given(environ), refused).stack
    problems = [*unknown_names(environ), *refused.values(), *engine_values(environ)[1]]
    _refuse([*problems, *_clashes(settings, refused)])
    home = settings.home
    return settings if home.is_absolute() else replace(settings, home=(cwd / home).resolve())


def read(group: type[GroupT], environ: Mapping[str, str]) -> GroupT:
    """Read one group of settings, for example `ClientSettings`; other variables are not looked at.

    Raises:
        SettingsError: as `load_settings`, of the group's variables.
    """
    try:
        return TypeAdapter(group).validate_python(values_of(group, given(environ)))
    except ValidationError as error:
        problems = refusals(error, environ)
    raise SettingsError(_told(problems.values()))


def read_engine_overrides(environ: Mapping[str, str]) -> dict[str, Any]:
    """Engine settings that an environment has, by field of `enginehouse.manifest.EngineSettings`.

    Raises:
        SettingsError: as `load_settings`, of the variables that begin with `ENGINE_PREFIX`.
    """
    ours = {name: value for name, value in environ.items() if name.startswith(ENGINE_PREFIX)}
    changes, problems = engine_values(ours)
    _refuse([*unknown_names(ours), *problems])
    return changes


def _clashes(settings: Settings, refused: Mapping[str, str]) -> list[str]:
    """What single values cannot show; not of variables that were refused, which have defaults."""
    return [*_open_host(settings, refused), *_shared_ports(settings, refused)]


def _open_host(settings: Settings, refused: Mapping[str, str]) -> list[str]:
    """Refuse to leave the loopback without keys, unless told so in words."""
    host, endpoint = settings.addresses.host, settings.endpoint
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    deciding = {PREFIX + name for name in ("HOST", "KEYS", "OPEN_WITHOUT_KEYS")}
    if loopback or endpoint.keys or endpoint.open_without_keys or deciding & refused.keys():
        return []
    sentence = (
        f"ENGINEHOUSE_HOST={host!r} is not a loopback address, and the endpoint asks for no "
        f"keys: set ENGINEHOUSE_KEYS=true and make a key with `enginehouse keys create`, or "
        f"say ENGINEHOUSE_OPEN_WITHOUT_KEYS={OPEN_WORDS}"
    )
    return [sentence]


def _shared_ports(settings: Settings, refused: Mapping[str, str]) -> list[str]:
    problems: list[str] = []
    seen: dict[int, str] = {}
    for variable, port in settings.addresses.ports.items():
        if variable in refused:
            continue
        if port in seen:
            problems.append(f"{variable} and {seen[port]} are both {port}: give each its own")
        seen[port] = variable
    return problems or _replicas_ports(settings, seen)


def _replicas_ports(settings: Settings, seen: Mapping[int, str]) -> list[str]:
    """Ports of further local replicas, which lie above those of the first."""
    if settings.fleet is not None:
        return []
    problems: list[str] = []
    for index in range(1, settings.replicas):
        for variable, port in settings.addresses.replica_ports(index).items():
            where = f"{PREFIX}REPLICAS={settings.replicas}: replica {index + 1} would have"
            if port > MOST_PORT:
                problems.append(f"{where} port {port}, above {MOST_PORT}: lower {variable}")
            elif port in seen:
                problems.append(
                    f"{where} port {port}, which is {seen[port]}: move one of them, or {variable}"
                )
    return problems[:1]


def _refuse(problems: Iterable[str]) -> None:
    found = list(problems)
    if found:
        raise SettingsError(_told(found))


def _told(problems: Iterable[str]) -> str:
    found = list(problems)
    if len(found) == 1:
        return found[0]
    return "\n- ".join([f"{len(found)} settings cannot be used:", *found])
