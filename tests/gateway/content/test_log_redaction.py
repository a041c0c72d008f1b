from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from enginehouse.gateway.content.config import LogConfig
from enginehouse.gateway.content.log_filter import install_log_filter

REQUEST_ID = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger below one that has a handler, with the filter installed."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    above = logging.getLogger("enginehouse.test_log")
    above.addHandler(handler)
    remove = install_log_filter(LogConfig())
    yield logging.getLogger("enginehouse.test_log.below"), stream
    remove()
    above.removeHandler(handler)


def test_messages_and_arguments_are_redacted(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    logger.warning("from %s, %d of ann@example.org: %s", "bob@example.org", 3, ["c@example.org"])
    assert stream.getvalue() == "from [EMAIL], 3 of [EMAIL]: ['[EMAIL]']\n"


def test_tracebacks_are_redacted(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    try:
        int("key sk-proj-abcdEFGH1234567890")
    except ValueError:
        logger.exception("it failed")
    assert "ValueError: invalid literal for int() with base 10: 'key [SECRET]'" in stream.getvalue()
    assert "abcdEFGH" not in stream.getvalue()


def test_a_formatter_that_writes_exceptions_itself_does_not_get_one_with_a_secret(
    log: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, _ = log
    seen: list[logging.LogRecord] = []
    logging.getLogger("enginehouse.test_log").handlers[0].emit = seen.append
    for text in ("key sk-proj-abcdEFGH1234567890", "harmless"):
        try:
            int(text)
        except ValueError:
            logger.exception("it failed")
    assert seen[0].exc_info is None
    assert "[SECRET]" in seen[0].exc_text
    assert seen[1].exc_info is not None


def test_fields_of_a_record_are_redacted(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, _ = log
    seen: list[logging.LogRecord] = []
    handler = logging.getLogger("enginehouse.test_log").handlers[0]
    handler.emit = seen.append
    logger.warning("x", extra={"user": "ann@example.org", "request_id": REQUEST_ID})
    assert (seen[0].user, seen[0].request_id) == ("[EMAIL]", REQUEST_ID)


def test_ids_and_addresses_of_machines_stay(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    line = f"replica 127.0.0.1:8001 of smollm2@3 failed request {REQUEST_ID} after 0.25 s"
    logger.warning(line)
    assert stream.getvalue() == f"{line}\n"


def test_announced_secrets_are_redacted(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    logger.warning("header Authorization: Bearer abcdefgh12345678")
    assert "abcdefgh" not in stream.getvalue()


def test_it_can_be_turned_off_and_taken_away() -> None:
    handler = logging.lastResort
    assert handler is not None
    before = list(handler.filters)
    install_log_filter(LogConfig(redact=False))
    assert handler.filters == before
    remove = install_log_filter(LogConfig())
    assert len(handler.filters) == len(before) + 1
    remove()
    assert handler.filters == before
