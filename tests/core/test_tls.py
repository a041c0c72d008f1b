"""What plain HTTP is checked against costs nothing and trusts nobody."""

from __future__ import annotations

import ssl

from enginehouse.tls import tls_context


def test_plain_http_trusts_no_authority_and_still_checks() -> None:
    context = tls_context("http://127.0.0.1:8080/v1")
    assert context.cert_store_stats()["x509_ca"] == 0
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_https_is_checked_against_the_authorities_which_are_read_once() -> None:
    context = tls_context("https://example.org")
    assert context.cert_store_stats()["x509_ca"] > 0
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert tls_context("https://example.com") is context
