from __future__ import annotations

from collections.abc import Callable

import pytest
from enginehouse.api.revision import Revision
from enginehouse.client import Target

from enginehouse.bundle import Bundle
from enginehouse.text import ChatTemplate, Tokenizer

MakeRevision = Callable[[str, int], Revision]


@pytest.fixture(scope="session")
def make_revision(bundle: Bundle) -> MakeRevision:
    """Versions of the default model; all share one tokenizer."""
    tokenizer = Tokenizer.from_file(bundle.tokenizer_path)
    template = ChatTemplate(bundle.chat_template, tokenizer)

    def make(name: str, version: int) -> Revision:
        return Revision(Target(name, version), bundle.manifest, tokenizer, template)

    return make
