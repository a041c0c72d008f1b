"""Names of variables: which are known, and what an unknown one may have been meant to be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from enginehouse.settings.groups import PREFIX
from enginehouse.settings.variable import variables

# Kubernetes sets these in each pod for every service of the namespace (`enableServiceLinks`):
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_HOST = "_SERVICE_HOST"
_SERVICE_LINK = re.compile(
    r"_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?"
)
_LINKED_PORT = re.compile(r"(tcp|udp|sctp)://[^/]+:[0-9]+")
# Below this the nearest name is a guess that misleads.
_LEAST_LIKENESS = 0.6


def unknown_names(environ: Mapping[str, str]) -> list[str]:
    """A sentence for each variable of ours by its prefix, in any case, that nothing reads.

    Values are not shown: one may be a key under a mistyped name.
    """
    known = {variable.name for variable in variables()}
    links = set(_service_links(environ)) - known
    return [
        f"{name}: there is no such setting; {_way_out(name, known)}"
        for name in sorted(environ)
        if name.upper().startswith(PREFIX) and name not in known and name not in links
    ]


def is_service_link(name: str, value: str, environ: Mapping[str, str]) -> bool:
    """Whether Kubernetes has set a variable, for a service whose name begins with ours."""
    return name in set(_service_links(environ)) and bool(
        not name.endswith("_PORT") or _LINKED_PORT.fullmatch(value)
    )


def _service_links(environ: Mapping[str, str]) -> Iterator[str]:
    services = [
        name.removesuffix(_SERVICE_HOST) for name in environ if name.endswith(_SERVICE_HOST)
    ]
    for name in environ:
        if any(
            name.startswith(service) and _SERVICE_LINK.fullmatch(name[len(service) :])
            for service in services
        ):
            yield name


def _way_out(name: str, known: set[str]) -> str:
    if name.upper() in known:
        return f"write {name.upper()}, in capitals"
    # The prefix, which all have, would make any two names alike.
    ends = {other.removeprefix(PREFIX): other for other in sorted(known)}
    meant = get_close_matches(name.upper().removeprefix(PREFIX), ends, 1, _LEAST_LIKENESS)
    if meant:
        return f"did you mean {ends[meant[0]]}? Otherwise unset it"
    return "unset it, or see docs/settings.md for those that exist"
