from __future__ import annotations

import pytest
from enginehouse.gateway.content.config import ContentConfig
from pydantic import ValidationError


def test_the_default_filters_nothing_and_redacts_the_log() -> None:
    config = ContentConfig()
    assert not config.input
    assert not config.output
    assert config.log.redact


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ({"input": [{"type": "patterns"}]}, "words or regexes"),
        ({"input": [{"type": "patterns", "regexes": ["("]}]}, "cannot be used"),
        ({"input": [{"type": "patterns", "regexes": ["a(?R)?b"]}]}, "cannot be used"),
        ({"input": [{"type": "patterns", "regexes": ["a*"]}]}, "matches nothing"),
        ({"input": [{"type": "pii", "restore": True}]}, "numbered"),
        ({"output": [{"type": "injection"}]}, "injection"),
        ({"input": [{"type": "pii"}, {"type": "pii"}]}, "named 'pii'"),
        ({"input": [{"type": "classifier", "action": "redact"}]}, "action"),
        ({"input": [{"type": "endpoint"}]}, "url"),
        ({"input": [{"type": "endpoint", "url": "file:///x"}]}, "url"),
        ({"input": [{"type": "pii", "kind": []}]}, "kind"),
        (
            {"output": [{"type": "pii", "restore": True, "placeholders": "numbered"}]},
            "filter of input",
        ),
    ],
)
def test_a_wrong_filter_is_refused_by_name(section: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        ContentConfig.model_validate(section)
