"""Reads and writes one model's release state in the registry, under one epoch of the lease."""

from __future__ import annotations

from collections.abc import Mapping

from enginehouse.registry.release_state import TAG_RELEASE, ReleaseState, state_of
from enginehouse.registry.store import Registry

from enginehouse.errors import LeaseLostError


class StoredState:
    """The state's tag, and what this holder wrote there last.

    An MLflow server accepts a late write of a controller that lost the lease. The epoch in the
    record reveals it: one lower than this holder has already written is rejected.
    """

    def __init__(self, model: str, registry: Registry, epoch: int) -> None:
        """`epoch` is that of the lease under which `registry` may be written."""
        self._model = model
        self._registry = registry
        self._epoch = epoch
        self._stored: ReleaseState | None = None

    def read(self, tags: Mapping[str, str]) -> ReleaseState:
        """The state in the registered model's tags; a new one if there is none.

        Raises:
            LeaseLostError: if a later holder of the lease wrote it.
            RegistryError: if it cannot be read.
        """
        found = state_of(tags, self._model)
        if found.epoch > self._epoch:
            raise LeaseLostError(
                f"the release state of {self._model} is of epoch {found.epoch}, and this "
                f"controller holds the lease of epoch {self._epoch}"
            )
        self._stored = found if TAG_RELEASE in tags else None
        return found

    def overwritten(self, tags: Mapping[str, str]) -> ReleaseState | None:
        """What this holder wrote last, if the tag has an earlier holder's state instead.

        Raises:
            RegistryError: if the tag cannot be read.
        """
        ours, found = self._stored, state_of(tags, self._model)
        if ours is None or ours.epoch < self._epoch or TAG_RELEASE not in tags:
            return None
        return ours if found.epoch < self._epoch else None

    def write(self, state: ReleaseState) -> ReleaseState:
        """Write the state if it changed; returns the stored state.

        A holder's first write stores its epoch, and a generation with which adapters reject routes
        of an earlier one.

        Raises:
            LeaseLostError: if the lease is no longer held; nothing was written.
            RegistryError: if MLflow rejects the request or does not answer.
        """
        stored = self._stored
        state = state.model_copy(update={"loaded": tuple(sorted(state.wanted))})
        if state == stored and stored.epoch == self._epoch:
            return stored
        generation = max(state.generation, 0 if stored is None else stored.generation)
        state = state.model_copy(update={"generation": generation + 1, "epoch": self._epoch})
        self._registry.set_model_tag(self._model, TAG_RELEASE, state.model_dump_json())
        self._stored = state
        return state
