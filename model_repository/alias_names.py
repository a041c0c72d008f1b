"""Which names are served beside a model's parts, and point to its champion."""

from __future__ import annotations

from dataclasses import dataclass

from enginehouse.model_repository.whole_config import COMPAT_BLS, COMPAT_ENSEMBLE

from enginehouse.names import POSTPROCESSING, PREPROCESSING, TENSORRT_LLM, WHOLE, part


@dataclass(frozen=True, slots=True)
class AliasNames:
    """What is asked for, see `enginehouse.settings.Settings`.

    Attributes:
        unary: whether each text generator has a `<model>.whole`.
        compat_model: the model that is served under NVIDIA's bare names as well.
        compat_decoupled: NVIDIA's `decoupled_mode` of those names.
    """

    unary: bool = True
    compat_model: str | None = None
    compat_decoupled: bool = True

    def of(self, model: str, *, embedding: bool = False) -> tuple[str, ...]:
        """What is loaded of a model beside its parts.

        Clients of NVIDIA's repository have the names `ensemble`, `preprocessing`, `tensorrt_llm`,
        `postprocessing` and `tensorrt_llm_bls` built in.
        """
        if embedding:
            return (model,)
        bare = (PREPROCESSING, POSTPROCESSING, TENSORRT_LLM, COMPAT_ENSEMBLE, COMPAT_BLS)
        # The model's own name last: who sees it ready may use the others.
        return (
            *(bare if model == self.compat_model else ()),
            *((part(model, WHOLE),) if self.unary else ()),
            model,
        )
