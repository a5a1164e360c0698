"""A Gaussian component as a vector of numbers, and back."""

from __future__ import annotations

import numpy as np

__all__ = ["FORMS", "log_entries", "lower_triangles", "pack", "parameter_names", "unpack"]

#: How a component with covariance Σ = L Lᵀ and weight w is written: name → whether the diagonal of
#: L, and whether w, stands as its logarithm. "cholesky" takes all numbers as they are, which is the
#: paper's way. With "log-cholesky" every vector of numbers is one covariance and each covariance
#: one vector (Pinheiro, Bates, Stat. Comput. 6 (1996) 289); with "log" no weight is negative
#: either: all numbers are free.
FORMS = {
    "cholesky": (False, False),
    "log-cholesky": (True, False),
    "log": (True, True),
}


def log_entries(n_features: int, *, form: str = "cholesky"):
    """Return which entries of a component vector are logarithms.

    Parameters
    ----------
    n_features
        d.
    form
        How the vectors are written, a key of ``FORMS``.

    Returns
    -------
    numpy.ndarray
        bool ``(d + d (d + 1) / 2 + 1,)``.

    Raises
    ------
    ValueError
        If there is no such form.

    Examples
    --------
    >>> log_entries(2, form="log").tolist()
    [False, False, True, False, True, True]
    """
    if form not in FORMS:
        raise ValueError(f"form = {form!r}: choose one of {', '.join(FORMS)}")
    rows, columns = np.tril_indices(n_features)
    diagonal, weight = FORMS[form]
    return np.concatenate([np.zeros(n_features, bool), (rows == columns) & diagonal, [weight]])


def lower_triangles(vectors, n_features: int, *, form: str = "cholesky"):
    """Return the Cholesky entries of component vectors as lower triangular matrices.

    Parameters
    ----------
    vectors
        Component vectors as :func:`pack` gives them, ``(M, d + d (d + 1) / 2 + 1)``.
    n_features
        d.
    form
        How they are written, a key of ``FORMS``.

    Returns
    -------
    numpy.ndarray
        ``(M, d, d)``, zero above the diagonal.

    Examples
    --------
    >>> lower_triangles([[0.0, 0.0, 1.0, 2.0, 3.0, 0.5]], 2).tolist()
    [[[1.0, 0.0], [2.0, 3.0]]]
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    rows, columns = np.tril_indices(n_features)
    triangles = np.zeros((len(vectors), n_features, n_features))
    triangles[:, rows, columns] = _plain(vectors, n_features, form)[:, n_features:-1]
    return triangles


def pack(means, covariances, weights, *, form: str = "cholesky"):
    """Components as vectors: d means, d (d + 1) / 2 Cholesky entries, 1 weight.

    The Cholesky factor L of the covariance (Σ = L Lᵀ, positive diagonal) is written row by row:
    L₁₁, L₂₁, L₂₂, L₃₁, … With d = 4 that makes the 15 numbers of the paper.

    Parameters
    ----------
    means
        ``(M, d)``.
    covariances
        ``(M, d, d)``, positive definite.
    weights
        ``(M,)``; above 0 if their logarithms are written.
    form
        How the components are written, a key of ``FORMS``.

    Returns
    -------
    numpy.ndarray
        float64 ``(M, d + d (d + 1) / 2 + 1)``.

    Raises
    ------
    ValueError
        If there is no such form, shapes disagree, a covariance isn't positive definite or a weight
        has no logarithm (its component is named).

    Examples
    --------
    >>> pack([[5.0, 6.0]], [[[1.0, 2.0], [2.0, 13.0]]], [0.5]).tolist()
    [[5.0, 6.0, 1.0, 2.0, 3.0, 0.5]]
    """
    means, covariances, weights = (
        np.asarray(array, dtype=np.float64) for array in (means, covariances, weights)
    )
    n, d = means.shape if means.ndim == 2 else (-1, -1)
    if covariances.shape != (n, d, d) or weights.shape != (n,):
        raise ValueError(
            "means, covariances, weights: expected shapes (M, d), (M, d, d), (M,), "
            f"got {means.shape}, {covariances.shape}, {weights.shape}"
        )
    try:
        factors = np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        smallest = np.linalg.eigvalsh(covariances)[:, 0]
        worst = int(np.argmin(smallest))
        raise ValueError(
            f"covariances: component {worst} is not positive definite "
            f"(smallest eigenvalue {smallest[worst]:.3g}); raise the covariance floor"
        ) from None
    logarithms = log_entries(d, form=form)
    if logarithms[-1] and not (weights > 0).all():
        worst = int(np.argmin(weights))
        raise ValueError(
            f"weights: component {worst} has {weights[worst]:.3g}, without a logarithm"
        )
    rows, columns = np.tril_indices(d)
    vectors = np.column_stack([means, factors[:, rows, columns], weights])
    vectors[:, logarithms] = np.log(vectors[:, logarithms])
    return vectors


def unpack(vectors, n_features: int | None = None, *, form: str = "cholesky"):
    """Components from their vectors; undoes :func:`pack`.

    Cholesky entries needn't have a positive diagonal: L Lᵀ is a covariance all the same, which
    is what makes a vector drawn from a Gaussian a component.

    Parameters
    ----------
    vectors
        ``(M, d + d (d + 1) / 2 + 1)``.
    n_features
        d; found from the length of a vector when not given.
    form
        How the vectors are written, a key of ``FORMS``.

    Returns
    -------
    means : numpy.ndarray
        ``(M, d)``.
    covariances : numpy.ndarray
        ``(M, d, d)``.
    weights : numpy.ndarray
        ``(M,)``.

    Raises
    ------
    ValueError
        If there is no such form, or no d gives vectors of that length.

    Examples
    --------
    >>> means, covariances, weights = unpack([[5.0, 6.0, 1.0, 2.0, 3.0, 0.5]])
    >>> covariances.tolist()
    [[[1.0, 2.0], [2.0, 13.0]]]
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    length = vectors.shape[-1] if vectors.ndim == 2 else -1
    # length = d + d (d + 1) / 2 + 1, solved for d.
    d = round((np.sqrt(max(8 * length + 1, 0)) - 3) / 2) if n_features is None else n_features
    if d < 1 or d + d * (d + 1) // 2 + 1 != length:
        raise ValueError(
            f"vectors: shape {vectors.shape} is not (M, d + d(d+1)/2 + 1) for d = {d} features"
        )
    plain = _plain(vectors, d, form)
    factors = lower_triangles(plain, d)
    return plain[:, :d], factors @ factors.transpose(0, 2, 1), plain[:, -1]


def parameter_names(features, *, form: str = "cholesky") -> list[str]:
    """Names of the entries of a component vector, in the order of :func:`pack`.

    Parameters
    ----------
    features
        Names of the d features.
    form
        How the vectors are written, a key of ``FORMS``.

    Examples
    --------
    >>> parameter_names(["x", "y"])
    ['mean x', 'mean y', 'L x,x', 'L y,x', 'L y,y', 'weight']
    """
    rows, columns = np.tril_indices(len(features))
    triangle = [f"L {features[i]},{features[j]}" for i, j in zip(rows, columns, strict=True)]
    names = [f"mean {feature}" for feature in features] + triangle + ["weight"]
    logarithms = log_entries(len(features), form=form)
    return ["log " * log + name for log, name in zip(logarithms, names, strict=True)]


def _plain(vectors, n_features, form):
    """The vectors with their logarithms undone."""
    logarithms, plain = log_entries(n_features, form=form), vectors.copy()
    plain[:, logarithms] = np.exp(plain[:, logarithms])
    return plain
