from __future__ import annotations

from enginehouse.client.model_configs import is_embedding
from enginehouse.model_repository import config


def test_an_embedding_model_is_batched_by_triton_and_probes_come_first() -> None:
    message = config.embedding_config("minilm", [2, 1])
    assert config.parse(config.render(message)) == message
    assert (message.name, message.max_batch_size) == ("minilm", 32)
    assert list(message.version_policy.specific.versions) == [1, 2]
    assert message.dynamic_batching.max_queue_delay_microseconds == 2000
    assert message.dynamic_batching.default_priority_level == 2
    assert [group.count for group in message.instance_group] == [1]
    assert not message.model_transaction_policy.decoupled


def test_an_embedding_model_is_known_by_its_outputs() -> None:
    assert is_embedding(config.embedding_config("minilm", [1]))
    assert not is_embedding(config.ensemble_config("smollm2", "smollm2", 1))
    assert not is_embedding(config.preprocessing_config("preprocessing", [1]))
