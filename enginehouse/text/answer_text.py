"""Tokens → the text that is shown of them, and the log-probabilities of just that text.

A token is listed with the text that it adds at its place in the answer, so that the listed texts
join to the answer's text, and a position in it counts characters:

- of a character that is spread over several tokens, the last one has the character, those before
  it have an empty text (vLLM's way; OpenAI's `bytes` field has the parts);
- the token that ended the answer is not listed;
- where a stop string cuts the text, the token that it cuts has what is shown of it, and those
  behind it are not listed. They were generated, so `usage` counts them;
- a control token in the middle of an answer (`ignore_eos`) has an empty text, as it has none in
  the answer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from enginehouse.generation import FinishReason
from enginehouse.text import IncrementalDetokenizer, StopStrings, Tokenizer


@dataclass(frozen=True, slots=True)
class TokenScore:
    """A token of the shown text.

    Attributes:
        text: what it adds to the text.
        utf8: its own bytes, which may be a part of a character.
        log_prob: natural logarithm of its probability; None if the engine gave none.
        before_end: characters from its beginning to the end of its piece's text.
    """

    text: str
    utf8: tuple[int, ...]
    log_prob: float | None
    before_end: int


@dataclass(frozen=True, slots=True)
class Written:
    """What became final with some tokens.

    Attributes:
        tokens: how many of them were needed; those behind a stop string's last one were not.
        scores: of tokens whose text is out; empty if none are wanted.
        stop: the stop string that was met, or None.
    """

    text: str
    tokens: int
    finish: FinishReason | None
    scores: tuple[TokenScore, ...] = ()
    stop: str | None = None


class AnswerText:
    """The text of one answer, from tokens that come in any portions."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        stop: Sequence[str] = (),
        stop_shown: bool = False,
        hidden: int = 0,
        scored: bool = False,
        end_ids: Collection[int] = (),
    ) -> None:
        """Prepare.

        Args:
            stop_shown: a stop string that was met is part of the text.
            hidden: characters at the beginning that are not shown: token healing asked for them.
            scored: list the tokens with their log-probabilities.
            end_ids: tokens that end the answer.
        """
        self._decoder = IncrementalDetokenizer(tokenizer)
        self._stops = StopStrings(stop, shown=stop_shown)
        self._hidden = hidden
        self._by_token = scored or bool(stop)
        self._scores = _Scores(tokenizer, end_ids) if scored else None

    def push(
        self, ids: Sequence[int], log_probs: Sequence[float], finish: FinishReason | None
    ) -> Written:
        """Add tokens; with `finish` they are the last. After a stop string nothing is added."""
        if not self._by_token:
            text = self._decoder.push(ids) + ("" if finish is None else self._decoder.finish())
            return Written(self._visible(text), len(ids), finish)
        parts: list[str] = []
        for count, token_id in enumerate(ids, start=1):
            text = self._visible(self._decoder.push([token_id]))
            parts.append(self._stops.push(text))
            if self._scores is not None:
                log_prob = log_probs[count - 1] if count <= len(log_probs) else None
                self._scores.push(token_id, text, log_prob)
            if self._stops.hit is not None:
                return self._written(parts, count, FinishReason.STOP)
        if finish is not None:
            rest = self._visible(self._decoder.finish())
            if self._scores is not None:
                self._scores.close(rest)
            parts += [self._stops.push(rest), self._stops.finish()]
            finish = finish if self._stops.hit is None else FinishReason.STOP
        return self._written(parts, len(ids), finish)

    def _visible(self, text: str) -> str:
        if not self._hidden:
            return text
        shown = text[self._hidden :]
        self._hidden -= len(text) - len(shown)
        return shown

    def _written(self, parts: list[str], tokens: int, finish: FinishReason | None) -> Written:
        text, stop = "".join(parts), self._stops.hit
        scores: tuple[TokenScore, ...] = ()
        if self._scores is not None:
            if finish is None:
                scores = self._scores.shown(len(text))
            else:
                scores = self._scores.rest(len(text), cut=stop is not None)
        return Written(text, tokens, finish, scores, stop)


@dataclass(slots=True)
class _Token:
    token_id: int
    text: str
    log_prob: float | None
    start: int


class _Scores:
    """Tokens that wait for their text to be shown; positions count the answer's characters."""

    def __init__(self, tokenizer: Tokenizer, end_ids: Collection[int]) -> None:
        self._tokenizer = tokenizer
        self._end_ids = end_ids
        self._waiting: list[_Token] = []
        self._generated = 0
        self._shown = 0

    def push(self, token_id: int, text: str, log_prob: float | None) -> None:
        self._waiting.append(_Token(token_id, text, log_prob, self._generated))
        self._generated += len(text)

    def close(self, rest: str) -> None:
        """No token comes any more; `rest` is what the last ones still had to say."""
        last = self._waiting[-1] if self._waiting else None
        if last is not None and last.token_id in self._end_ids and not last.text:
            self._waiting.pop()
        if self._waiting:
            self._waiting[-1].text += rest
        self._generated += len(rest)

    def shown(self, characters: int) -> tuple[TokenScore, ...]:
        """Tokens that are complete with so many characters more.

        One without text waits for the next that has some, so that scores go out beside text.
        """
        self._shown += characters
        count = 0
        for place, token in enumerate(self._waiting, start=1):
            if token.start + len(token.text) > self._shown:
                break
            if token.text:
                count = place
        ready, self._waiting = self._waiting[:count], self._waiting[count:]
        return tuple(self._score(token) for token in ready)

    def rest(self, characters: int, *, cut: bool) -> tuple[TokenScore, ...]:
        """All that are left, with the last characters.

        Args:
            cut: a stop string ended the text: what is behind it is not listed.
        """
        self._shown += characters
        left = self._waiting
        if cut:
            within = [place for place, t in enumerate(left, 1) if t.start < self._shown and t.text]
            left = left[: within[-1] if within else 0]
        return tuple(self._score(token) for token in left)

    def _score(self, token: _Token) -> TokenScore:
        text = token.text[: self._shown - token.start]
        utf8 = self._tokenizer.token_utf8(token.token_id)
        if utf8 is None or len(text) < len(token.text):
            utf8 = text.encode()
        return TokenScore(text, tuple(utf8), token.log_prob, self._shown - token.start)


def token_texts(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """What each token of a prompt adds to its text; control tokens in their written form."""
    decoder = IncrementalDetokenizer(tokenizer, skip_special_tokens=False)
    texts = [decoder.push([token_id]) for token_id in ids]
    if texts:
        texts[-1] += decoder.finish()
    return texts
