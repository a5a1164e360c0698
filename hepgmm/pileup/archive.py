"""Fitted generators as npz files: parameters, arrays and mixtures, never unpickled."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from hepgmm.io_utils import atomic_write
from hepgmm.mixture.gmm import GaussianMixture
from hepgmm.mixture.many import MixtureFits

__all__ = ["load_model", "save_model"]

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
