"""The two entry points: a JSON Schema or a regular expression becomes a grammar in EBNF."""

from __future__ import annotations

from enginehouse.engine.json_schema.alternatives import Alternatives
from enginehouse.engine.json_schema.automaton import matching
from enginehouse.engine.json_schema.determinism import deterministic
from enginehouse.engine.json_schema.document import Document
from enginehouse.engine.json_schema.grammar import GuideGrammar
from enginehouse.engine.json_schema.languages import anchored, whole
from enginehouse.engine.json_schema.pattern import parse
from enginehouse.engine.json_schema.refusal import SchemaRefusedError
from enginehouse.engine.json_schema.strings import Spelling, StringWriter
from enginehouse.engine.json_schema.values import ValueRules


def schema_grammar(text: str) -> str:
    """The grammar (xgrammar's EBNF, rule `root`) of the JSON that a schema allows.

    Every text of the grammar is JSON and validates. Spelling: `, ` and `: ` between parts, members
    in the schema's order and then others, one spelling for each character, whole numbers without
    fraction.

    Args:
        text: a JSON Schema of draft 2020-12.

    Raises:
        SchemaRefusedError: for what is no schema, and for what cannot be kept, with its place.
    """
    document = Document(text)
    grammar = GuideGrammar()
    try:
        root = ValueRules(Alternatives(document), grammar).value(frozenset({document.root}))
    except RecursionError:
        raise SchemaRefusedError("the schema's parts refer to each other too deeply") from None
    try:
        return grammar.text(root)
    except SchemaRefusedError as error:
        raise SchemaRefusedError(f"the schema is refused: {error}") from None


def regex_grammar(text: str) -> str:
    """The grammar of the texts that a regular expression matches as a whole.

    Args:
        text: a pattern of ECMA-262, without what no grammar keeps (`pattern.py`).

    Raises:
        SchemaRefusedError: with the position of what is wrong, or cannot be kept.
    """
    node = parse(text)
    grammar = GuideGrammar()
    texts = StringWriter(grammar, Spelling(json=False))
    plain = node if not anchored(node) else whole(node)
    if plain is not None and deterministic(plain):
        root = grammar.rule("root", lambda: [texts.pattern(plain)])
    else:
        dfa = matching(node, search=False)
        if dfa.empty:
            raise SchemaRefusedError("nothing can match the pattern")
        root = texts.automaton(dfa)
    return grammar.text(root)
