"""Conversion between text and tokens: tokenizer, chat template, detokenizer, stop strings."""

from enginehouse.text.chat_template import ChatTemplate, PromptEnding
from enginehouse.text.detokenizer import IncrementalDetokenizer
from enginehouse.text.stop_strings import StopStrings
from enginehouse.text.tokenizer import Tokenizer

__all__ = ["ChatTemplate", "IncrementalDetokenizer", "PromptEnding", "StopStrings", "Tokenizer"]
