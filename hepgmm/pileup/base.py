"""What every generator of pileup has in common: training events, files, a name in the registry."""

from __future__ import annotations

import json
import zipfile
import zlib
from importlib import import_module
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import awkward as ak
import numpy as np
from sklearn.base import BaseEstimator

from hepgmm.events import check_events
from hepgmm.io.atomic import atomic_write
from hepgmm.mixture.gaussian import GaussianMixture
from hepgmm.mixture.small import MixtureFits

__all__ = [
    "GENERATORS",
    "MIN_EVENTS",
    "Entry",
    "Generator",
    "describe_fits",
    "find_training_events",
    "load_generator",
    "load_model",
    "make_generator",
    "save_model",
    "tally",
]


class Generator(BaseEstimator):
    """Base of the generators: ``fit(events)``, ``sample(n_events, seed=)``, ``save``, ``load``.

    A generator has parameters, as scikit-learn's estimators have, and ``fit`` gives it attributes
    whose names end in ``_``: arrays, mixtures, or what JSON can hold.

    Attributes
    ----------
    FITTED
        Names of the attributes without which it is not fitted.
    HAS_SOURCES
        Whether ``sample(…, return_sources=True)`` also gives the training events that the
        synthetic ones follow.
    """

    FITTED: ClassVar[tuple[str, ...]] = ()
    HAS_SOURCES: ClassVar[bool] = False

    def save(self, path) -> None:
        """Write the fitted model to an npz file, whole or not at all."""
        self._check_fitted()
        save_model(path, self)

    @classmethod
    def load(cls, path) -> Generator:
        """Read a model that :meth:`save` wrote; it samples exactly as the saved one.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is truncated or isn't such a model.
        """
        return load_model(path, cls)

    def _check_fitted(self):
        if not all(hasattr(self, name) for name in self.FITTED):
            name = type(self).__name__
            raise ValueError(f"this {name} is not fitted: call fit(events) or load a file")


#: Fitted attributes that are more than one array: type → its parts.
PARTS = {
    GaussianMixture: ("weights", "means", "covariances", "converged"),
    MixtureFits: MixtureFits._fields,
}


def save_model(path, model) -> None:
    """Write a fitted generator to one npz file, which appears only when it is whole.

    Saved are its parameters and every fitted attribute (its name ends in ``_``): an array, a
    mixture, or whatever JSON can hold.

    Parameters
    ----------
    path
        File to write; its name must end in ``.npz``.
    model
        A generator with ``get_params``.

    Raises
    ------
    ValueError
        If the name of the file doesn't end in ``.npz``.
    """
    if Path(path).suffix != ".npz":
        raise ValueError(f"{path}: the name of a model file must end in .npz")
    arrays, types, others = {}, {}, {}
    for name, value in vars(model).items():
        if not name.endswith("_"):
            continue
        if isinstance(value, np.ndarray):
            arrays[name] = value
        elif type(value) in PARTS:
            types[name] = type(value).__name__
            arrays |= {f"{name}.{part}": getattr(value, part) for part in PARTS[type(value)]}
        else:
            others[name] = value
    about = {
        "kind": type(model).__name__,
        "parameters": model.get_params(),
        "types": types,
        "attributes": others,
    }
    with atomic_write(path) as temporary:
        np.savez_compressed(temporary, about=json.dumps(about, default=_as_list), **arrays)


def load_model(path, *kinds):
    """Read a generator that :func:`save_model` wrote.

    Parameters
    ----------
    path
        File to read.
    *kinds
        The classes that it may be of, each with the names of its fitted attributes as ``FITTED``.

    Returns
    -------
    object
        Of one of ``kinds``, with its parameters and fitted attributes.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, of another format, holds another kind of generator, or lacks one
        of its fitted attributes.

    Examples
    --------
    >>> from hepgmm.pileup.hierarchical import HierarchicalGMM
    >>> load_model("nowhere.npz", HierarchicalGMM)
    Traceback (most recent call last):
    FileNotFoundError: nowhere.npz: no such file
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    allowed = " or ".join(kind.__name__ for kind in kinds)
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays.pop("about")))
        found = about["kind"]
    # A damaged zip file fails in any of these ways, and so do a lone array and a text file.
    except (
        AttributeError,
        EOFError,
        KeyError,
        OSError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(f"{path}: not a whole {allowed} file; save it again") from error
    kind = next((kind for kind in kinds if kind.__name__ == found), None)
    if kind is None:
        raise ValueError(f"{path}: it holds a {found}, not a {allowed}")
    try:
        model = kind(**about["parameters"])
        fitted = {name: array for name, array in arrays.items() if "." not in name}
        for type_, parts in PARTS.items():
            names = [name for name, found in about["types"].items() if found == type_.__name__]
            for name in names:
                fitted[name] = type_(*(arrays[f"{name}.{part}"] for part in parts))
        vars(model).update(fitted | about["attributes"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: the {found} in it is damaged ({error})") from error
    missing = [name for name in kind.FITTED if not hasattr(model, name)]
    if missing:
        raise ValueError(f"{path}: the {found} in it has no {', '.join(missing)}; save it again")
    return model


def _as_list(value):
    return value.tolist() if hasattr(value, "tolist") else list(value)


#: The fewest events that a fit takes.
MIN_EVENTS = 10


def find_training_events(events, *, min_tracks) -> np.ndarray:
    """Mark the events that have enough tracks to be trained on.

    Parameters
    ----------
    events
        Events as :func:`hepgmm.generate` gives them.
    min_tracks
        Events with fewer tracks are left out; a whole number of at least 1.

    Returns
    -------
    numpy.ndarray
        bool ``(n_events,)``.

    Raises
    ------
    ValueError
        For bad events, a bad ``min_tracks``, or fewer than 10 events with ``min_tracks`` tracks.

    Examples
    --------
    >>> from hepgmm.events import FEATURES, make_events
    >>> events = make_events({name: [1.0] * 32 for name in FEATURES}, [2] + 10 * [3])
    >>> int(find_training_events(events, min_tracks=3).sum())
    10
    >>> find_training_events(events, min_tracks=4)
    Traceback (most recent call last):
    ValueError: events: a fit needs at least 10 events with at least 4 tracks, got 0
    """
    if not isinstance(min_tracks, Integral) or min_tracks < 1:
        raise ValueError(f"min_tracks = {min_tracks!r}: give a whole number of at least 1")
    check_events(events)
    kept = ak.to_numpy(ak.num(events)) >= min_tracks
    if kept.sum() < MIN_EVENTS:
        raise ValueError(
            f"events: a fit needs at least {MIN_EVENTS} events with at least {min_tracks} tracks, "
            f"got {kept.sum()}"
        )
    return kept


def tally(count, total) -> dict:
    """Return a count and the fraction of the total that it is.

    Examples
    --------
    >>> tally(1, 4)
    {'count': 1, 'fraction': 0.25}
    """
    return {"count": int(count), "fraction": float(count / total) if total else 0.0}


def describe_fits(mixtures, *, covariance_floor) -> dict:
    """Return the figures of the mixtures of many events.

    Parameters
    ----------
    mixtures
        The ``MixtureFits`` that ``hepgmm.mixture.fit_many`` gives.
    covariance_floor
        The floor that it was asked for.

    Returns
    -------
    dict
        ``events_used``; ``components`` and ``components_floored``, those with a direction at the
        floor, as ``floored_fraction`` too; ``mean_K``; ``floors_raised``, events whose floor had
        to exceed ``covariance_floor``; ``fits`` and ``fits_not_converged``. Errors are standard
        errors over events.
    """
    k, floored = mixtures.n_components, mixtures.floored > 0
    fitted = np.isfinite(mixtures.criterion)
    own = np.add.reduceat(floored.astype(float), mixtures.offsets[:-1])
    fraction, events = floored.mean(), len(k)
    # Components of one event are not independent: the error is that of a ratio over events.
    error = np.sqrt(((own - fraction * k) ** 2).sum() * events / (events - 1)) / k.sum()
    raised = (mixtures.floors > 1.001 * np.asarray(covariance_floor)).any(axis=1)
    return {
        "events_used": len(k),
        "components": len(floored),
        "components_floored": int(floored.sum()),
        "floored_fraction": {
            "value": float(fraction),
            "error": float(error),
        },
        "mean_K": {"value": float(k.mean()), "error": float(k.std(ddof=1) / np.sqrt(len(k)))},
        "floors_raised": int(raised.sum()),
        "fits": int(fitted.sum()),
        "fits_not_converged": int((fitted & ~mixtures.converged).sum()),
    }


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
        "oversampling", "hepgmm.pileup.baselines:Oversampling", {"rotate": False}
    ),
    "oversampling_rotated": Entry("oversampling, rotated", "hepgmm.pileup.baselines:Oversampling"),
    "independent": Entry("independent tracks", "hepgmm.pileup.baselines:IndependentTracks"),
    "kernel_density": Entry("kernel density", "hepgmm.pileup.baselines:KernelDensity"),
    "global_mixture": Entry("one mixture", "hepgmm.pileup.baselines:GlobalMixture"),
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
        One of ``hepgmm.pileup.base.GENERATORS``.
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
