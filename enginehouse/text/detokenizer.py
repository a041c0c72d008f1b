"""Incremental detokenization: chunks of text that join to exactly the whole text."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from enginehouse.text.tokenizer import Tokenizer

#: UTF-8 needs at most four bytes a character, hence at most four byte-level tokens.
_LONGEST_CHARACTER_TOKENS = 4


class _Decoder(Protocol):
    def push(self, ids: Sequence[int]) -> str: ...
    def finish(self) -> str: ...


class IncrementalDetokenizer:
    """Decodes a growing list of ids.

    Text is returned as soon as it is final: a character whose bytes are split over tokens is held
    back until its last byte. ``"".join(pushes) + finish()`` equals ``tokenizer.decode(all)``.
    """

    def __init__(self, tokenizer: Tokenizer, *, skip_special_tokens: bool = True) -> None:
        """Start a text; control tokens are skipped, or decoded to their written form."""
        table = tokenizer.token_bytes if skip_special_tokens else tokenizer.written_token_bytes
        self._decoder: _Decoder = (
            _WindowDecoder(tokenizer, skip_special_tokens=skip_special_tokens)
            if table is None
            else _ByteDecoder(table)
        )

    def push(self, ids: Sequence[int]) -> str:
        """Add `ids`; return the text that became final, possibly empty."""
        return self._decoder.push(ids)

    def finish(self) -> str:
        """Return the remaining text; an incomplete character becomes U+FFFD."""
        return self._decoder.finish()


class _ByteDecoder:
    """Byte-level BPE: a lookup table and the standard library's UTF-8 decoder."""

    def __init__(self, table: list[bytes]) -> None:
        self._table = table
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, ids: Sequence[int]) -> str:
        table = self._table
        return self._utf8.decode(b"".join([table[i] for i in ids if i < len(table)]))

    def finish(self) -> str:
        return self._utf8.decode(b"", final=True)


class _WindowDecoder:
    """Other tokenizers: decodes a window of recent ids and returns what the new ones added.

    Decoders may treat the first token of a text differently (a leading space is dropped), so the
    window always starts with ids whose text has been returned already.
    """

    def __init__(self, tokenizer: Tokenizer, *, skip_special_tokens: bool) -> None:
        self._decode = partial(tokenizer.decode, skip_special_tokens=skip_special_tokens)
        self._ids: list[int] = []
        self._start = 0
        self._shown = 0

    def push(self, ids: Sequence[int]) -> str:
        self._ids.extend(ids)
        before, after = self._texts()
        if after.endswith("\ufffd") and len(self._ids) - self._shown <= _LONGEST_CHARACTER_TOKENS:
            return ""
        self._start, self._shown = self._shown, len(self._ids)
        return after[len(before) :]

    def finish(self) -> str:
        before, after = self._texts()
        self._shown = len(self._ids)
        return after[len(before) :]

    def _texts(self) -> tuple[str, str]:
        window = self._ids[self._start :]
        shown = window[: self._shown - self._start]
        return self._decode(shown), self._decode(window)


class CharacterBoundary:
    """Tells whether a growing list of ids ends between two characters.

    The engine checks this before it sends a response, so that each response of a stream can be
    decoded separately and a stateless postprocessing joins to the correct text.
    """

    def __init__(self, token_bytes: list[bytes] | None) -> None:
        self._table = token_bytes
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, ids: Sequence[int]) -> bool:
        """Add `ids`; True if no character is incomplete."""
        if self._table is None:
            return True
        self._utf8.decode(b"".join([self._table[i] for i in ids if i < len(self._table)]))
        return not self._utf8.getstate()[0]

    def restart(self) -> None:
        """Reset for another list of ids."""
        self._utf8.reset()
