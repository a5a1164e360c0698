"""The generators of pileup by name: each is a row in the book's tables."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

from hepgmm.pileup.archive import load_model

__all__ = ["GENERATORS", "Entry", "load_generator", "make_generator"]


class Entry(NamedTuple):
    """A generator in the registry.

    Attributes
    ----------
    title
        What tables call it.
    home
        Its class, as ``module:class``.
    parameters
        Those that differ from the defaults of its class.
    """

    title: str
    home: str
    parameters: dict[str, Any] = {}  # noqa: RUF012


_PAPER = "hepgmm.pileup.hierarchical:HierarchicalGMM"

GENERATORS: dict[str, Entry] = {
    "oversampling": Entry(
        "oversampling", "hepgmm.pileup.oversampling:Oversampling", {"rotate": False}
    ),
    "oversampling_rotated": Entry(
        "oversampling, rotated", "hepgmm.pileup.oversampling:Oversampling"
    ),
    "independent": Entry("independent tracks", "hepgmm.pileup.independent:IndependentTracks"),
    "kernel_density": Entry("kernel density", "hepgmm.pileup.kernel_density:KernelDensity"),
    "global_mixture": Entry("one mixture", "hepgmm.pileup.global_mixture:GlobalMixture"),
    "hgmm": Entry("the paper's HGMM", _PAPER),
    "hgmm_clipped": Entry("HGMM, eigenvalues clipped", _PAPER, {"clip_eigenvalues": 1e-3}),
    "hgmm_tracks": Entry("HGMM, drawn by tracks", _PAPER, {"draw": "tracks"}),
    "hgmm_log": Entry("HGMM, log-Cholesky", _PAPER, {"parametrisation": "log"}),
    "hgmm_asinh": Entry("HGMM, asinh features", _PAPER, {"features": "asinh"}),
    "hgmm_cured": Entry(
        "HGMM, all four",
        _PAPER,
        {
            "clip_eigenvalues": 1e-3,
            "draw": "tracks",
            "parametrisation": "log",
            "features": "asinh",
        },
    ),
    "shared": Entry("shared components", "hepgmm.pileup.shared:SharedGMM"),
    "flow": Entry("normalising flow", "hepgmm.pileup.flow:FlowPileup"),
    "diffusion": Entry("diffusion model", "hepgmm.pileup.diffusion:DiffusionPileup"),
}


def make_generator(name: str, **parameters):
    """Return a new generator, not fitted yet.

    Parameters
    ----------
    name
        One of ``hepgmm.pileup.generators.GENERATORS``.
    **parameters
        Parameters of its class that replace those of the registry.

    Raises
    ------
    ValueError
        If there is no generator of that name; the message lists them.

    Examples
    --------
    >>> make_generator("shared", n_prompt=20).n_prompt
    20
    """
    if name not in GENERATORS:
        raise ValueError(f"unknown generator {name!r}; there are {', '.join(GENERATORS)}")
    entry = GENERATORS[name]
    return _class(entry.home)(**entry.parameters | parameters)


def load_generator(path):
    """Read a fitted generator of any kind from the file that its ``save`` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated or holds no generator.
    """
    return load_model(path, *map(_class, dict.fromkeys(e.home for e in GENERATORS.values())))


def _class(home):
    module, name = home.split(":")
    return getattr(import_module(module), name)
