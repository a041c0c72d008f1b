"""Translates JSON Schemas and regular expressions into grammars that enforce every keyword.

`schema_grammar` and `regex_grammar` are the two entry points. A schema passes through three forms:

    JSON ─document─▶ subschemas ─alternatives─▶ shapes (one JSON type each) ─write─▶ grammar
"""

from __future__ import annotations

from enginehouse.engine.json_schema.refusal import SchemaRefusedError
from enginehouse.engine.json_schema.translate import regex_grammar, schema_grammar

__all__ = ["SchemaRefusedError", "regex_grammar", "schema_grammar"]
