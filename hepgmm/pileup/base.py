"""What every generator of pileup has in common: checks, seeds, provenance, files, a name."""

from __future__ import annotations

import json
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from importlib import import_module
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import awkward as ak
import numpy as np
from sklearn.base import BaseEstimator

from hepgmm.events import check_events, make_events
from hepgmm.io.atomic import atomic_write
from hepgmm.mixture.gaussian import GaussianMixture
from hepgmm.mixture.sampling import check_draw
from hepgmm.mixture.small import MixtureFits
from hepgmm.pileup.points import check_pt

__all__ = ["GENERATORS", "MIN_EVENTS", "Entry", "Generator", "load_generator", "make_generator"]

#: The fewest events that a fit takes.
MIN_EVENTS = 10
#: Fitted attributes that are more than one array: type → its parts.
PARTS = {
    GaussianMixture: ("weights", "means", "covariances", "converged"),
    MixtureFits: MixtureFits._fields,
}


class Generator(BaseEstimator, ABC):
    """Base of the generators: ``fit(events)``, ``sample(n_events, seed=)``, ``save``, ``load``.

    A generator has parameters, as scikit-learn's estimators have, ``min_tracks`` among them. It
    writes ``_fit`` and ``_sample``, and in ``_rules`` what its parameters have to fulfil. A fit
    gives it attributes whose names end in ``_``: arrays, mixtures, or what JSON can hold.

    Attributes
    ----------
    FITTED : tuple of str
        Names of the attributes without which it is not fitted, ``report_`` among them.
    HAS_SOURCES : bool
        Whether ``sample(…, return_sources=True)`` also gives the training events that the
        synthetic ones follow.
    NEEDS_PT : bool
        Whether it describes the logarithm of pT, which every track then must have.
    """

    FITTED: ClassVar[tuple[str, ...]] = ("report_",)
    HAS_SOURCES: ClassVar[bool] = False
    NEEDS_PT: ClassVar[bool] = True

    @abstractmethod
    def _fit(self, events, progress) -> dict:
        """Learn from the events that have enough tracks; figures for the report."""

    @abstractmethod
    def _sample(self, n_events, rng, **options) -> tuple:
        """Columns of all tracks, tracks of each event, and whatever else ``options`` ask for."""

    def _rules(self) -> Iterator[tuple[bool, str]]:
        """What parameters have to fulfil, and what is said if they don't."""
        fine = isinstance(self.min_tracks, Integral) and self.min_tracks >= 1
        yield fine, f"min_tracks = {self.min_tracks!r}: give a whole number of at least 1"

    def fit(self, events, *, progress=False) -> Generator:
        """Learn from the events that have at least ``min_tracks`` tracks.

        Parameters
        ----------
        events : awkward.Array
            Min-bias events as :func:`hepgmm.generate` gives them.
        progress : bool
            Whether to show progress bars where there is something to wait for.

        Returns
        -------
        Generator
            The model itself.

        Raises
        ------
        ValueError
            For bad events or parameters, or fewer than 10 events with ``min_tracks`` tracks.
        """
        self._check_parameters()
        # A fit that ends early leaves no mixture of the old one and the new.
        vars(self).pop("report_", None)
        check_events(events)
        used = ak.to_numpy(ak.num(events)) >= self.min_tracks
        n_used = int(used.sum())
        if n_used < MIN_EVENTS:
            raise ValueError(
                f"events: a fit needs at least {MIN_EVENTS} events with at least "
                f"{self.min_tracks} tracks, got {n_used}"
            )
        if self.NEEDS_PT:
            check_pt(events)
        figures = self._fit(events[used], progress)
        self.report_ = {"events_used": n_used, "events_dropped": len(events) - n_used, **figures}
        return self

    def sample(self, n_events, *, seed, **options):
        """Synthetic pileup events, each with its vertex at the origin.

        Parameters
        ----------
        n_events : int
            How many; exactly so many are returned.
        seed : int, sequence of int or numpy.random.Generator
            Anything that ``numpy.random.default_rng`` takes.
        workers : int
            Threads, of ``HierarchicalGMM`` and ``SharedGMM``: every 2048 events have a stream of
            random numbers of their own, so that the result is the same for any number.
        return_sources : bool
            Of generators that follow training events, such as ``SharedGMM`` (``HAS_SOURCES``):
            whether to return which ones, too.
        return_components : bool
            Of ``HierarchicalGMM``: whether to return the components that tracks came from, too.

        Returns
        -------
        events : awkward.Array
            ``n_events * var * Track[pt, eta, phi, d0, dz]``, float32; GeV, rad, mm.
        sources : array, int64, shape (n_events,) or (n_events, 2)
            Only with ``return_sources``: the training event of each, counted among those with at
            least ``min_tracks`` tracks; of ``SharedGMM`` the block of its templates, and the
            template of its prompt tracks. Events of different blocks have none in common.
        components : Components
            Only with ``return_components``: as ``sample_components`` gives them.
        index : array, int32, shape (n_tracks,)
            Only with ``return_components``: the component of every track.

        Raises
        ------
        ValueError
            If the model isn't fitted, or for a bad parameter.
        """
        self._check_ready(n_events, options.get("workers", 1))
        columns, counts, *more = self._sample(n_events, np.random.default_rng(seed), **options)
        provenance = {"process": "minbias", "generator": type(self).__name__, "seed": str(seed)}
        events = make_events(columns, counts, provenance=provenance)
        return (events, *more) if more else events

    def save(self, path) -> None:
        """Write the fitted model to an npz file, whole or not at all.

        Parameters
        ----------
        path : path
            Its name must end in ``.npz``.

        Raises
        ------
        ValueError
            If it does not, or the model isn't fitted.
        """
        self._check_fitted()
        if Path(path).suffix != ".npz":
            raise ValueError(f"{path}: the name of a model file must end in .npz")
        arrays, types, others = {}, {}, {}
        for name, value in vars(self).items():
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
            "kind": type(self).__name__,
            "parameters": self.get_params(),
            "types": types,
            "attributes": others,
        }
        with atomic_write(path) as temporary:
            np.savez_compressed(temporary, about=json.dumps(about, default=_as_list), **arrays)

    @classmethod
    def load(cls, path) -> Generator:
        """Read a model that :meth:`save` wrote; it samples exactly as the saved one.

        Parameters
        ----------
        path : path

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is truncated or isn't such a model.
        """
        return load_generator(path, cls)

    def _check_parameters(self):
        for fine, message in self._rules():
            if not fine:
                raise ValueError(message)

    def _check_fitted(self):
        if not all(hasattr(self, name) for name in self.FITTED):
            name = type(self).__name__
            raise ValueError(f"this {name} is not fitted: call fit(events) or load a file")

    def _check_ready(self, n_events, workers=1):
        """Refuse to sample unless all is well."""
        self._check_fitted()
        self._check_parameters()
        check_draw(n_events=n_events, workers=workers)


def _as_list(value):
    return value.tolist() if hasattr(value, "tolist") else list(value)


class Entry(NamedTuple):
    """A generator in the registry: what tables call it, its ``module:class``, its parameters."""

    title: str
    home: str
    parameters: dict[str, Any] = {}  # noqa: RUF012


_OVERSAMPLING = "hepgmm.pileup.baselines:Oversampling"
_HGMM = "hepgmm.pileup.hierarchical:HierarchicalGMM"
_CLIPPED, _TRACKS = {"clip_eigenvalues": 1e-3}, {"draw": "tracks"}
_LOG, _ASINH = {"parametrisation": "log"}, {"features": "asinh"}
_SCALED = {"scale_features": True} | _CLIPPED

#: Name → generator. With ``real``, for real events, these are the names of pileup everywhere.
GENERATORS: dict[str, Entry] = {
    "oversampling": Entry("oversampling", _OVERSAMPLING, {"rotate": False}),
    "oversampling_rotated": Entry("oversampling, rotated", _OVERSAMPLING),
    "independent": Entry("independent tracks", "hepgmm.pileup.baselines:IndependentTracks"),
    "kernel_density": Entry("kernel density", "hepgmm.pileup.baselines:KernelDensity"),
    "global_mixture": Entry("one mixture", "hepgmm.pileup.baselines:GlobalMixture"),
    "hgmm": Entry("the paper's HGMM", _HGMM),
    "hgmm_clipped": Entry("HGMM, eigenvalues clipped", _HGMM, _CLIPPED),
    "hgmm_scaled": Entry("HGMM, scaled and clipped", _HGMM, _SCALED),
    "hgmm_tracks": Entry("HGMM, drawn by tracks", _HGMM, _TRACKS),
    "hgmm_log": Entry("HGMM, log-Cholesky", _HGMM, _LOG),
    "hgmm_asinh": Entry("HGMM, asinh features", _HGMM, _ASINH),
    "hgmm_cured": Entry("HGMM, all four", _HGMM, _CLIPPED | _TRACKS | _LOG | _ASINH),
    "shared": Entry("shared components", "hepgmm.pileup.shared:SharedGMM"),
    "flow": Entry("normalising flow", "hepgmm.pileup.flow:FlowPileup"),
    "diffusion": Entry("diffusion model", "hepgmm.pileup.diffusion:DiffusionPileup"),
}


def make_generator(name: str, **parameters) -> Generator:
    """Return a new generator, not fitted yet.

    Parameters
    ----------
    name : str
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


def load_generator(path, *kinds) -> Generator:
    """Read a fitted generator from the file that its ``save`` wrote.

    Parameters
    ----------
    path : path
    *kinds : type
        The classes that it may be of; any of the registry's when none is given.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, of another format, holds another kind of generator, or lacks one
        of its fitted attributes.

    Examples
    --------
    >>> load_generator("nowhere.npz")
    Traceback (most recent call last):
    FileNotFoundError: nowhere.npz: no such file
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    classes = {kind.__name__: kind for kind in kinds}
    homes = {} if kinds else {entry.home.split(":")[1]: entry.home for entry in GENERATORS.values()}
    allowed = " or ".join([*classes, *homes])
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays.pop("about")))
        kind = str(about["kind"])
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
    if kind not in classes and kind not in homes:
        raise ValueError(f"{path}: it holds a {kind}, not a {allowed}")
    class_ = classes.get(kind) or _class(homes[kind])
    try:
        model = class_(**about["parameters"])
        fitted = {name: array for name, array in arrays.items() if "." not in name}
        for type_, parts in PARTS.items():
            for name in (name for name, its in about["types"].items() if its == type_.__name__):
                fitted[name] = type_(*(arrays[f"{name}.{part}"] for part in parts))
        vars(model).update(fitted | about["attributes"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: the {kind} in it is damaged ({error})") from error
    missing = [name for name in class_.FITTED if not hasattr(model, name)]
    if missing:
        raise ValueError(f"{path}: the {kind} in it has no {', '.join(missing)}; save it again")
    return model


def _class(home):
    module, name = home.split(":")
    return getattr(import_module(module), name)
