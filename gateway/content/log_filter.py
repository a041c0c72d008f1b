"""Redaction of personal data in the adapter's log, for all loggers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from enginehouse.gateway.content.config import LogConfig
from enginehouse.gateway.content.kinds import Kind, rules_of
from enginehouse.gateway.content.scanner import ScanRule, scan

_EXCEPTIONS = logging.Formatter()
#: Attributes that `logging` itself sets on a record.
_OWN = frozenset(logging.makeLogRecord({}).__dict__) - {"stack_info"}


class RedactingFilter(logging.Filter):
    """Redacts messages, arguments, tracebacks and extra fields; it drops no record."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        super().__init__()
        self._rules = rules_of(frozenset(kinds))

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record in place."""
        if isinstance(record.args, tuple):
            record.args = tuple(self._clean(value) for value in record.args)
        message = record.getMessage()
        clean = self._redacted(message)
        if clean != message:
            # The match spans several arguments, or an argument becomes text only when it is
            # formatted.
            record.msg, record.args = clean, None
        if record.exc_info and not record.exc_text:
            record.exc_text = _EXCEPTIONS.formatException(record.exc_info)
        if record.exc_text:
            text = self._redacted(record.exc_text)
            if text != record.exc_text:
                # A formatter would otherwise format the exception again, without redaction.
                record.exc_text, record.exc_info = text, None
        for name, value in record.__dict__.items():
            if name not in _OWN and isinstance(value, str):
                setattr(record, name, self._redacted(value))
        return True

    def _clean(self, value: object) -> object:
        return self._redacted(value) if isinstance(value, str) else value

    def _redacted(self, text: str) -> str:
        return redacted(self._rules, text)


def redacted(rules: Sequence[ScanRule], text: str) -> str:
    """A text with placeholders of the form ``[KIND]``."""
    return "".join(
        segment.text if segment.rule is None else f"[{segment.rule.label.upper()}]"
        for segment in scan(rules, text, len(text))
    )


def install_log_filter(config: LogConfig) -> Callable[[], None]:
    """Add the filter to every existing handler, and to the handler of last resort.

    Call it after logging is configured. The filter is added to handlers because a logger's filter
    does not see the records of child loggers.

    Returns:
        A function that removes the filter.
    """
    if not config.redact:
        return lambda: None
    redacting = RedactingFilter(config.kinds)
    handlers = _handlers()
    for handler in handlers:
        handler.addFilter(redacting)

    def remove() -> None:
        for handler in handlers:
            handler.removeFilter(redacting)

    return remove


def _handlers() -> list[logging.Handler]:
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    found = {id(handler): handler for logger in loggers for handler in logger.handlers}
    if logging.lastResort is not None:
        found[id(logging.lastResort)] = logging.lastResort
    return list(found.values())
