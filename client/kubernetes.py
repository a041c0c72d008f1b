"""Reads the endpoints of a Kubernetes service from the API server.

`GET /apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices`, with the label
`kubernetes.io/service-name`, is the documented way to find the pods of a service. The pod's service
account needs the verb `list` on `endpointslices` of the group `discovery.k8s.io`.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

_IN_CLUSTER_URL = "https://kubernetes.default.svc"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT_S = 5.0
_PAGE = 500


@dataclass(frozen=True, slots=True)
class KubernetesApi:
    """Client of the API server, with the credentials of a pod.

    Attributes:
        base_url: URL of the API server.
        token_path: bearer token; read for each request, because the kubelet renews it.
        ca_path: certificate authority of the server; None for plain HTTP.
    """

    base_url: str
    token_path: Path
    ca_path: Path | None

    @classmethod
    def of_this_pod(cls) -> KubernetesApi:
        """The API server and service account that every pod has."""
        return cls(_IN_CLUSTER_URL, _ACCOUNT / "token", _ACCOUNT / "ca.crt")

    def ready_endpoints(self, namespace: str, service: str) -> list[tuple[str, str]]:
        """Pod name and address of each ready endpoint, sorted, without duplicates.

        Raises:
            httpx.HTTPError: if the server does not answer, or rejects the request.
            OSError: if the account's files cannot be read.
            ValueError, KeyError, TypeError: if the response is not a list of slices.
        """
        # With two address families a pod is in one slice for each; one address is enough.
        found: dict[str, str] = {}
        for piece in self._slices(namespace, service):
            for name, address in _ready(piece):
                found.setdefault(name, address)
        return sorted(found.items())

    def _slices(self, namespace: str, service: str) -> list[dict[str, Any]]:
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        selector = f"kubernetes.io/service-name={service}"
        params: dict[str, str | int] = {"labelSelector": selector, "limit": _PAGE}
        token = self.token_path.read_text("utf-8").strip()
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        verify: Any = True
        if self.ca_path is not None:
            verify = ssl.create_default_context(cafile=str(self.ca_path))
        found: list[dict[str, Any]] = []
        # The environment's proxy must not see the token.
        with httpx.Client(
            base_url=self.base_url, verify=verify, timeout=_TIMEOUT_S, trust_env=False
        ) as http:
            while True:
                answer = http.get(path, params=params, headers=headers)
                answer.raise_for_status()
                page = answer.json()
                found += page["items"] or []
                following = page.get("metadata", {}).get("continue")
                if not following:
                    return found
                params["continue"] = following


def _ready(piece: dict[str, Any]) -> list[tuple[str, str]]:
    """Ready endpoints of one slice; by the API reference, `ready` unset means ready."""
    if piece.get("addressType") == "FQDN":
        return []
    found = []
    for endpoint in piece.get("endpoints") or []:
        conditions = endpoint.get("conditions") or {}
        if conditions.get("ready") is False:
            continue
        # An endpoint's addresses are interchangeable; use the first.
        address = str(endpoint["addresses"][0])
        name = (endpoint.get("targetRef") or {}).get("name") or address
        found.append((str(name), address))
    return found
