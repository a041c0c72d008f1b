"""Token ids → text, piece by piece, so that the pieces join to exactly the whole."""

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
    """Text of a growing list of ids.

    Text comes out as soon as it is final: a character whose bytes are split over tokens is held
    back until its last byte. ``"".join(pushes) + finish()`` equals ``tokenizer.decode(all)``.
    """

    def __init__(self, tokenizer: Tokenizer, *, skip_special_tokens: bool = True) -> None:
        """Begin a text; control tokens have none in it, or their written form."""
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
        """Return what was held back; an incomplete character becomes U+FFFD."""
        return self._decoder.finish()


class _ByteDecoder:
    """Byte-level BPE: a table look-up and the standard library's UTF-8 decoder."""

    def __init__(self, table: list[bytes]) -> None:
        self._table = table
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, ids: Sequence[int]) -> str:
        table = self._table
        return self._utf8.decode(b"".join([table[i] for i in ids if i < len(table)]))

    def finish(self) -> str:
        return self._utf8.decode(b"", final=True)


class _WindowDecoder:
    """Any other tokenizer: decode a window of recent ids and emit what the new ones added.

    Decoders may treat the first token of a text differently (a leading space is dropped), so
    the window always starts with ids whose text is out already.
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
    """Says whether a growing list of ids ends between characters.

    The engine asks before it sends a response, so that every response of a stream can be
    decoded by itself: a stateless postprocessing then joins to the right text.
    """

    def __init__(self, token_bytes: list[bytes] | None) -> None:
        self._table = token_bytes
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, ids: Sequence[int]) -> bool:
        """Add `ids`; True if no character is left open."""
        if self._table is None:
            return True
        self._utf8.decode(b"".join([self._table[i] for i in ids if i < len(self._table)]))
        return not self._utf8.getstate()[0]

    def restart(self) -> None:
        """Forget every id: another list begins."""
        self._utf8.reset()
