"""The Triton model names that point to a model's champion, beside the names of its parts."""

from __future__ import annotations

from dataclasses import dataclass

from enginehouse.model_repository.whole_config import COMPAT_BLS, COMPAT_ENSEMBLE

from enginehouse.names import POSTPROCESSING, PREPROCESSING, TENSORRT_LLM, WHOLE, part


@dataclass(frozen=True, slots=True)
class AliasNames:
    """The names that the settings ask for, see `enginehouse.settings.Settings`.

    Attributes:
        unary: whether each text generator has a `<model>.whole`.
        compat_model: the model that is also served under NVIDIA's names; None for none.
        compat_decoupled: NVIDIA's `decoupled_mode` for those names.
    """

    unary: bool = True
    compat_model: str | None = None
    compat_decoupled: bool = True

    def of(self, model: str, *, embedding: bool = False) -> tuple[str, ...]:
        """The names to load for a model, in order.

        Clients of NVIDIA's repository use the fixed names `ensemble`, `preprocessing`,
        `tensorrt_llm`, `postprocessing` and `tensorrt_llm_bls`.
        """
        if embedding:
            return (model,)
        bare = (PREPROCESSING, POSTPROCESSING, TENSORRT_LLM, COMPAT_ENSEMBLE, COMPAT_BLS)
        # The model's own name is loaded last: when it is ready, the others are ready too.
        return (
            *(bare if model == self.compat_model else ()),
            *((part(model, WHOLE),) if self.unary else ()),
            model,
        )
