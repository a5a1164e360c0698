"""The stages of the analysis and what each depends on, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hepgmm.classify.registry import NETWORKS, RUNGS

__all__ = ["CURES", "OTHER_KEYS", "RUNG_KEYS", "STAGES", "Stage", "rung_code", "rung_stage"]

# None is the paper's plain model; the other two are the cures of speckles that it proposes.
CURES = (None, "clipped", "scaled")


@dataclass(frozen=True)
class Stage:
    """One step of the analysis and what its outcome depends on.

    Attributes
    ----------
    suffix
        Ending of its file in the cache.
    keys
        The preset's keys that it reads, as ``group.key``; ``group.*`` stands for a whole group.
    needs
        The stages whose outcome it reads; ``group.key`` stands for those that the preset names.
    code
        The modules and subpackages of ``hepgmm`` that compute it.
    by_pileup
        ``overlay.pileup`` -> the keys and the needs that it adds.
    """

    suffix: str
    keys: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    by_pileup: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)

    def chosen(self, parameters: Mapping[str, Any]) -> Stage:
        """The stage with the keys and needs that ``parameters`` choose."""
        keys, more = self.by_pileup.get(parameters["overlay"]["pileup"], ((), ()))
        needs = []
        for need in self.needs + more:
            group, _, key = need.partition(".")
            needs += parameters[group][key] if key else [need]
        return replace(self, keys=self.keys + keys, needs=tuple(needs), by_pileup={})

    def inputs(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The part of ``parameters`` that the stage reads, as ``{"group.key": value}``.

        Examples
        --------
        >>> Stage(".npz", keys=("overlay.mu",)).inputs({"overlay": {"mu": 60.0, "sigma_z": 53.0}})
        {'overlay.mu': 60.0}
        """
        chosen = {}
        for name in self.keys:
            group, key = name.split(".")
            for each in parameters[group] if key == "*" else (key,):
                chosen[f"{group}.{each}"] = parameters[group][each]
        return chosen


_FIT = tuple(
    f"mixture.{key}"
    for key in (
        "max_event_components",
        "high_level_max",
        "n_init",
        "covariance_floor",
    )
)
_CLIP = "mixture.clip_eigenvalues"
_SCHEDULE = ("batch_size", "learning_rate", "schedule")
#: What a preset says of a rung: keys that are arguments of its training, and of its network.
RUNG_KEYS = {
    "pt_cut": ((), ()),
    "trees": ((), ()),
    "mlp": (("epochs_mlp", *_SCHEDULE), ("features",)),
    "transformer": (
        ("epochs_transformer", *_SCHEDULE),
        ("features", "feedforward", "dropout", "attention_dropout"),
    ),
}
#: The same of all others.
OTHER_KEYS = (("batch_size",), ())
_COLLIDE = ("collide", "events")
_MIXTURE = (
    "mixture",
    "pileup/generator",
    "pileup/hierarchical",
    "pileup/hierarchical_parameters",
    "pileup/training",
    "pileup/synthesis",
    "pileup/drawing",
    "pileup/reports",
    "events",
)
_SHARED = (
    "mixture",
    "pileup/generator",
    "pileup/shared",
    "pileup/training",
    "pileup/templates",
    "pileup/moving",
    "pileup/decays",
    "particles",
    "collide/helix",
    "events",
)
_SCORE = (
    "statistics",
    "mixture/sampling",
    "classify/metrics",
    "classify/features",
    "classify/feature_tables",
    "classify/samples",
    "classify/layers",
    "classify/narrow_attention",
    "classify/dropout",
    "classify/models",
    "classify/fitted",
)
_FITTED = ("classify/cuts", "classify/summaries", "classify/trees")
_NETWORKS = (
    "classify/particle_transformer",
    "classify/rungs",
    "classify/epochs",
    "classify/checkpoints",
    "classify/learning",
    "classify/training",
)


def rung_code(name: str) -> tuple[str, ...]:
    """The modules that train a rung of the ladder; of one's own, which may use any, all of them.

    Examples
    --------
    >>> "classify/trees" in rung_code("deepsets"), "classify/trees" in rung_code("trees")
    (False, True)
    """
    if name not in RUNGS:
        return _SCORE + _FITTED + _NETWORKS
    return _SCORE + (_NETWORKS if name in NETWORKS else _FITTED)


def rung_stage(name: str) -> Stage:
    """The training of a rung of the ladder.

    Examples
    --------
    >>> rung_stage("deepsets").keys
    ('training.batch_size',)
    """
    keys = tuple(f"training.{key}" for part in RUNG_KEYS.get(name, OTHER_KEYS) for key in part)
    return Stage(".safetensors", keys=keys, needs=("datasets",), code=rung_code(name))


STAGES: dict[str, Stage] = {
    "minbias": Stage(".parquet", keys=("data.n_minbias",), code=_COLLIDE),
    "minbias-pool": Stage(".parquet", keys=("data.n_pool",), code=_COLLIDE),
    "minbias-test": Stage(".parquet", keys=("mixture.synthetic_events",), code=_COLLIDE),
    "qcd": Stage(".parquet", keys=("data.n_qcd", "data.pt_hat_min"), code=_COLLIDE),
    "llp": Stage(".parquet", keys=("data.n_llp_per_mass", "data.ctau"), code=_COLLIDE),
    "hgmm": Stage(".npz", keys=_FIT, needs=("minbias",), code=_MIXTURE),
    "hgmm-scaled": Stage(".npz", keys=_FIT, needs=("minbias",), code=_MIXTURE),
    "shared": Stage(".npz", needs=("minbias",), code=_SHARED),
    "synthetic": Stage(".parquet", keys=("mixture.synthetic_events",), needs=("hgmm",)),
    "synthetic-clipped": Stage(
        ".parquet", keys=("mixture.synthetic_events", _CLIP), needs=("hgmm",)
    ),
    "synthetic-scaled": Stage(
        ".parquet", keys=("mixture.synthetic_events", _CLIP), needs=("hgmm-scaled",)
    ),
    "datasets": Stage(
        ".npz",
        keys=(
            "data.llp_masses",
            "overlay.*",
            "training.test_fraction",
            "training.validation_fraction",
        ),
        needs=("qcd", "llp"),
        code=("pileup/overlay", "pileup/crossings", "tracks", "datasets"),
        by_pileup={
            "hgmm": ((), ("hgmm",)),
            "hgmm_clipped": ((_CLIP,), ("hgmm",)),
            "hgmm_scaled": ((_CLIP,), ("hgmm-scaled",)),
            "shared": ((), ("shared",)),
            "real": ((), ("minbias-pool",)),
        },
    ),
    **{name: rung_stage(name) for name in RUNGS},
    "scores": Stage(
        ".npz", keys=("training.classifiers",), needs=("datasets", "training.classifiers")
    ),
    "figures": Stage(
        ".json",
        keys=("mixture.synthetic_events", "overlay.*", _CLIP),
        needs=("qcd", "llp", "hgmm", "hgmm-scaled", "scores"),
        code=("merit", "classify/metrics", "statistics", "pileup/speckles", "tracks"),
    ),
}
