"""The two entry points: translate a JSON Schema or a regular expression into an EBNF grammar."""

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
    """The grammar of the JSON that a schema allows, in xgrammar's EBNF with the root rule `root`.

    Every string of the grammar is JSON that validates. Parts are separated by `, ` and `: `.
    Members come in the order of the schema, then others. Each character has one spelling. Whole
    numbers have no fraction.

    Args:
        text: a JSON Schema of draft 2020-12.

    Raises:
        SchemaRefusedError: if it is not a schema or cannot be enforced; names the location.
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
    """The grammar of the strings that a regular expression matches as a whole.

    Args:
        text: a pattern of ECMA-262; `pattern.py` lists the syntax that is refused.

    Raises:
        SchemaRefusedError: if it is invalid or cannot be enforced; names the position.
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
