"""The bundle's tokenizer; control tokens in user text are encoded as text.

A chat template writes control tokens (``<|im_start|>``), and a user may write the same characters
in a message. `Tokenizer.guard` marks them in user text with a random nonce, and
`Tokenizer.encode_guarded` turns only unmarked ones into control tokens. The tokenizer also splits
at control tokens first, so the ids of ordinary text do not change.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import tokenizers

from enginehouse.errors import BundleError
from enginehouse.memory import give_back_free_memory

_BYTE_TOKEN = re.compile("<0x([0-9A-F]{2})>")


def _byte_alphabet() -> dict[str, int]:
    """Character → byte of the byte-level BPE alphabet.

    Printable Latin-1 bytes map to themselves, other bytes to code points from 256 up in byte order
    (openai/gpt-2, `src/encoder.py`, `bytes_to_unicode`).
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in set(printable))
    alphabet.update({chr(256 + index): byte for index, byte in enumerate(others)})
    return alphabet


class Tokenizer:
    """Converts between text and token ids of one model version."""

    def __init__(self, definition: str) -> None:
        """Create from the content of a ``tokenizer.json``."""
        self._control = tokenizers.Tokenizer.from_str(definition)
        self._decoder_type = (json.loads(definition).get("decoder") or {}).get("type")
        specials = {
            token.content: index
            for index, token in self._control.get_added_tokens_decoder().items()
            if token.special
        }
        self._special_ids = specials
        alternatives = "|".join(re.escape(s) for s in sorted(specials, key=len, reverse=True))
        self._special_pattern = re.compile(f"({alternatives})") if alternatives else None
        self._nonce = f"\ue000{secrets.token_hex(8)}\ue001"

    @classmethod
    def from_file(cls, path: Path) -> Tokenizer:
        """Read ``tokenizer.json``.

        Raises:
            BundleError: if the file is missing or not a tokenizer.
        """
        try:
            found = cls(path.read_text(encoding="utf-8"))
            give_back_free_memory()
            return found
        except OSError as error:
            raise BundleError(f"{path}: cannot read the tokenizer: {error}") from error
        except Exception as error:
            # The library raises bare Exception for all invalid definitions.
            raise BundleError(f"{path}: not a tokenizer definition: {error}") from error

    @cached_property
    def _plain(self) -> tokenizers.Tokenizer:
        """A copy that reads control tokens as text; created on demand, because it takes 15 MiB."""
        made = tokenizers.Tokenizer.from_str(self._control.to_str())
        made.encode_special_tokens = True
        give_back_free_memory()
        return made

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, including control tokens."""
        return self._control.get_vocab_size(with_added_tokens=True)

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids of the control tokens."""
        return frozenset(self._special_ids.values())

    def encode(self, text: str, *, control_tokens: bool = False) -> list[int]:
        """Ids of `text`, without BOS or EOS.

        Args:
            text: any text.
            control_tokens: encode ``<|…|>`` strings as control tokens. Never for user text.
        """
        chosen = self._control if control_tokens else self._plain
        return list(chosen.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Text of `ids`; incomplete characters become U+FFFD."""
        return self._control.decode(ids, skip_special_tokens=skip_special_tokens)

    def token_text(self, token_id: int) -> str:
        """Text of a single token; control tokens in their written form."""
        return self.decode([token_id], skip_special_tokens=False)

    def guard(self, text: str) -> str:
        """Mark control tokens in user text, so that `encode_guarded` encodes them as text."""
        if self._special_pattern is None:
            return text
        return self._special_pattern.sub(lambda m: m[0][0] + self._nonce + m[0][1:], text)

    def encode_guarded(self, rendered: str) -> list[int]:
        """Ids of a rendered template; its user text has to be guarded."""
        if self._special_pattern is None:
            return self.encode(rendered)
        ids: list[int] = []
        for piece in self._special_pattern.split(rendered):
            if piece in self._special_ids:
                ids.append(self._special_ids[piece])
            elif piece:
                ids.extend(self.encode(piece.replace(self._nonce, "")))
        return ids

    @cached_property
    def token_bytes(self) -> list[bytes] | None:
        """Bytes of each id; None if the tokenizer is not byte-level BPE.

        Control tokens have no bytes, because decoding skips them.
        """
        if self._decoder_type != "ByteLevel":
            return None
        alphabet = _byte_alphabet()
        table = [b""] * self.vocabulary_size
        for token, index in self._control.get_vocab(with_added_tokens=True).items():
            if index not in self.special_ids and index < len(table):
                table[index] = _to_bytes(token, alphabet)
        return table

    @cached_property
    def written_token_bytes(self) -> list[bytes] | None:
        """Like `token_bytes`, with control tokens in their written form."""
        if self.token_bytes is None:
            return None
        table = list(self.token_bytes)
        for token, index in self._special_ids.items():
            if index < len(table):
                table[index] = token.encode()
        return table

    def token_utf8(self, token_id: int) -> bytes | None:
        """Bytes of one token, which may be part of a character; empty for a control token.

        None means that they are the bytes of the token's text. A tokenizer that is not byte-level
        writes a single byte as the token ``<0xE2>`` (google/sentencepiece, byte fallback).
        """
        if self.token_bytes is not None:
            return self.token_bytes[token_id] if token_id < len(self.token_bytes) else b""
        if token_id in self.special_ids:
            return b""
        found = _BYTE_TOKEN.fullmatch(self._control.id_to_token(token_id) or "")
        return None if found is None else bytes.fromhex(found[1])


def _to_bytes(token: str, alphabet: dict[str, int]) -> bytes:
    """Bytes of a token; a token outside the alphabet (an added token) has the bytes of its text."""
    values: Iterable[int | None] = [alphabet.get(character) for character in token]
    known = [value for value in values if value is not None]
    return bytes(known) if len(known) == len(token) else token.encode()
