from __future__ import annotations

from enginehouse.triton_control import (
    closing_flags,
    grpc_metadata,
    http_headers,
    triton_control_secret,
)


def test_the_secret_belongs_to_the_admin_token_and_is_not_it() -> None:
    token = "an admin token of the tests"
    secret = triton_control_secret(token)
    assert secret == triton_control_secret(token)
    assert secret != triton_control_secret(f"{token}.")
    assert token not in "".join(closing_flags(secret))


def test_without_a_secret_nothing_is_sent() -> None:
    assert (grpc_metadata(None), http_headers(None)) == ((), {})
    assert http_headers("s") == {"enginehouse-control": "s"}
    assert grpc_metadata("s") == (("triton-grpc-protocol-enginehouse-control", "s"),)
