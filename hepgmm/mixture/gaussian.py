"""A Gaussian mixture: density, criteria, samples, marginals; its components as vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from hepgmm.mixture.sampling import check_draw, sample_many

__all__ = [
    "FORMS",
    "GaussianMixture",
    "log_entries",
    "lower_triangles",
    "pack",
    "parameter_names",
    "unpack",
]

#: Rows handled at once: bounds the memory of densities.
CHUNK = 65536


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """A mixture of Gaussians, p(x) = Σₖ wₖ N(x | μₖ, Σₖ), with full covariances.

    Parameters
    ----------
    weights : array, shape (K,)
        Non-negative, sum 1.
    means : array, shape (K, d)
    covariances : array, shape (K, d, d)
        Positive definite.
    converged
        Whether the fit that made it converged.

    Raises
    ------
    ValueError
        If shapes disagree, a number isn't finite, weights aren't a distribution, or a
        covariance isn't positive definite.

    Examples
    --------
    >>> mixture = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [[[1.0]], [[1.0]]])
    >>> mixture.log_prob([[0.0]]).round(4).tolist()
    [-1.4189]
    >>> mixture.sample(1000, seed=1).shape
    (1000, 1)
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    converged: bool = True

    def __post_init__(self):
        for name in ("weights", "means", "covariances"):
            array = np.asarray(getattr(self, name), dtype=np.float64)
            if not np.isfinite(array).all():
                raise ValueError(f"{name}: every number must be finite")
            object.__setattr__(self, name, array)
        k, d = self.means.shape if self.means.ndim == 2 else (0, 0)
        if k < 1 or self.weights.shape != (k,) or self.covariances.shape != (k, d, d):
            raise ValueError(
                "weights, means, covariances: expected shapes (K,), (K, d), (K, d, d), got "
                f"{self.weights.shape}, {self.means.shape}, {self.covariances.shape}"
            )
        if (self.weights < 0).any() or not abs(self.weights.sum() - 1.0) < 1e-6:
            raise ValueError(
                "weights: they must be non-negative and sum to 1, "
                f"got sum {self.weights.sum():.6g} and minimum {self.weights.min():.3g}"
            )
        try:
            factors = np.linalg.cholesky(self.covariances)
        except np.linalg.LinAlgError:
            smallest = np.linalg.eigvalsh(self.covariances)[:, 0]
            raise ValueError(
                f"covariances: component {int(np.argmin(smallest))} is not positive definite"
            ) from None
        object.__setattr__(self, "_factors", factors)
        object.__setattr__(self, "converged", bool(self.converged))

    @property
    def n_components(self) -> int:
        """Number of components, K."""
        return len(self.weights)

    @property
    def n_features(self) -> int:
        """Number of features, d."""
        return self.means.shape[1]

    @property
    def n_parameters(self) -> int:
        """Free parameters, K d + K d (d + 1) / 2 + K - 1."""
        return count_parameters(self.n_components, self.n_features)

    def component_log_prob(self, x):
        """Return log wₖ + log N(x | μₖ, Σₖ), ``(n, d)`` → ``(n, K)``."""
        x = np.asarray(x, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != self.n_features:
            raise ValueError(f"x: expected shape (n, {self.n_features}), got {x.shape}")
        inverse = np.linalg.inv(self._factors)
        log_det = np.log(np.diagonal(inverse, axis1=1, axis2=2)).sum(axis=1)
        with np.errstate(divide="ignore"):
            constant = np.log(self.weights) + log_det - 0.5 * self.n_features * np.log(2 * np.pi)
        square = np.empty((len(x), self.n_components))
        for k, (mean, factor) in enumerate(zip(self.means, inverse, strict=True)):
            square[:, k] = (((x - mean) @ factor.T) ** 2).sum(axis=1)
        return constant - 0.5 * square

    def log_prob(self, x):
        """Return log p(x) of every point, ``(n, d)`` → ``(n,)``."""
        x = np.asarray(x, dtype=np.float64)
        if x.ndim != 2:
            raise ValueError(f"x: expected shape (n, {self.n_features}), got {x.shape}")
        parts = [x[start : start + CHUNK] for start in range(0, max(len(x), 1), CHUNK)]
        return np.concatenate([logsumexp(self.component_log_prob(part), axis=1) for part in parts])

    def responsibilities(self, x):
        """Probability that a point came from each component, ``(n, d)`` → ``(n, K)``."""
        log_prob = self.component_log_prob(x)
        return np.exp(log_prob - logsumexp(log_prob, axis=1, keepdims=True))

    def score(self, x) -> float:
        """Mean log-likelihood of the points."""
        return float(self.log_prob(x).mean())

    def bic(self, x) -> float:
        """Bayesian information criterion, k log n - 2 log L̂ (smaller is better)."""
        return float(self.n_parameters * np.log(len(x)) - 2 * self.log_prob(x).sum())

    def aic(self, x) -> float:
        """Akaike information criterion, 2 k - 2 log L̂ (smaller is better)."""
        return float(2 * self.n_parameters - 2 * self.log_prob(x).sum())

    def sample(
        self, n: int, *, seed, dtype=np.float64, workers: int = 1, return_components: bool = False
    ):
        """Exactly ``n`` independent draws, by :func:`hepgmm.mixture.sampling.sample_many`.

        Parameters
        ----------
        n : int
            How many.
        seed
            Anything that ``numpy.random.default_rng`` takes.
        dtype
            ``float64`` or ``float32``.
        workers : int
            Threads; no effect on the result.
        return_components : bool
            Whether to return the component of every draw too.

        Returns
        -------
        points : array, shape (n, d)
            Of type ``dtype``.
        components : int64 array, shape (n,)
            Only with ``return_components``.

        Raises
        ------
        ValueError
            For a bad ``n``, ``dtype`` or ``workers``.
        """
        check_draw(n=n)
        return sample_many(
            self.weights,
            self.means,
            self._factors,
            [0, self.n_components],
            [n],
            seed=seed,
            dtype=dtype,
            workers=workers,
            return_components=return_components,
        )

    def marginal(self, features) -> GaussianMixture:
        """Return the mixture of some features alone, in the order asked for.

        Parameters
        ----------
        features
            Their indices, each once.

        Raises
        ------
        ValueError
            If one isn't there, or is named twice.

        Examples
        --------
        >>> both = GaussianMixture([1.0], [[1.0, 5.0]], [[[1.0, 0.5], [0.5, 2.0]]])
        >>> both.marginal(1).means.tolist(), both.marginal(1).covariances.tolist()
        ([[5.0]], [[[2.0]]])
        """
        features = self._checked(features)
        covariances = self.covariances[:, features[:, None], features]
        return GaussianMixture(self.weights, self.means[:, features], covariances, self.converged)

    def condition(self, features, values) -> GaussianMixture:
        """Return the mixture of the other features, given ``values`` of ``features``.

        With a the others and b the given ones, component k has mean μ_a + Σ_ab Σ_bb⁻¹ (b - μ_b),
        covariance Σ_aa - Σ_ab Σ_bb⁻¹ Σ_ba, and a weight in proportion to wₖ N(b | μ_b, Σ_bb).

        Parameters
        ----------
        features
            Indices of the given features, each once, not all of them.
        values
            One finite number for each.

        Raises
        ------
        ValueError
            If a feature isn't there or is named twice, none is left, or values don't fit.

        Examples
        --------
        >>> both = GaussianMixture([1.0], [[1.0, 5.0]], [[[1.0, 0.5], [0.5, 2.0]]])
        >>> both.condition(0, 3.0).means.tolist(), both.condition(0, 3.0).covariances.tolist()
        ([[6.0]], [[[1.75]]])
        """
        features = self._checked(features)
        values = np.atleast_1d(np.asarray(values, dtype=np.float64))
        others = np.setdiff1d(np.arange(self.n_features), features)
        if not len(others):
            raise ValueError("features: all of them are given, there is no distribution left")
        if values.shape != features.shape or not np.isfinite(values).all():
            raise ValueError(f"values: give one finite number for each of {len(features)} features")
        cross = self.covariances[:, others[:, None], features]
        given = self.covariances[:, features[:, None], features]
        # Regression coefficients Σ_ab Σ_bb⁻¹, (K, a, b).
        slope = np.linalg.solve(given, cross.transpose(0, 2, 1)).transpose(0, 2, 1)
        shift = (slope @ (values - self.means[:, features])[..., None])[..., 0]
        covariances = self.covariances[:, others[:, None], others]
        return GaussianMixture(
            self.marginal(features).responsibilities(values[None])[0],
            self.means[:, others] + shift,
            covariances - slope @ cross.transpose(0, 2, 1),
            self.converged,
        )

    def _checked(self, features):
        features = np.atleast_1d(features)
        known, given = set(range(self.n_features)), set(features.ravel().tolist())
        if (
            features.dtype.kind not in "iu"
            or features.ndim > 1
            or not 0 < len(features) == len(given)
            or not given <= known
        ):
            raise ValueError(
                f"features = {features.tolist()}: give indices of 0 to {self.n_features - 1}, "
                "each once"
            )
        return features

    @classmethod
    def from_sklearn(cls, model) -> GaussianMixture:
        """From a fitted scikit-learn ``GaussianMixture``.

        Raises
        ------
        ValueError
            If its covariances are not full ones.
        """
        if model.covariance_type != "full":
            raise ValueError(
                f"model: covariance_type is {model.covariance_type!r}; only 'full' is supported"
            )
        return cls(model.weights_, model.means_, model.covariances_, bool(model.converged_))

    def to_sklearn(self):
        """As a fitted scikit-learn ``GaussianMixture``."""
        from sklearn.mixture import GaussianMixture as Estimator

        model = Estimator(self.n_components)
        model.weights_, model.means_ = self.weights.copy(), self.means.copy()
        model.covariances_ = self.covariances.copy()
        upper = np.linalg.inv(self._factors).transpose(0, 2, 1)
        model.precisions_cholesky_ = upper
        model.precisions_ = upper @ upper.transpose(0, 2, 1)
        model.converged_, model.n_features_in_ = self.converged, self.n_features
        return model


def count_parameters(n_components: int, n_features: int) -> int:
    """Free parameters of a full-covariance mixture, K d + K d (d + 1) / 2 + K - 1."""
    d = n_features
    return n_components * d + n_components * d * (d + 1) // 2 + n_components - 1


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
    """Which of the d + d (d + 1) / 2 + 1 entries of a component vector are logarithms."""
    if form not in FORMS:
        raise ValueError(f"form = {form!r}: choose one of {', '.join(FORMS)}")
    rows, columns = np.tril_indices(n_features)
    diagonal, weight = FORMS[form]
    return np.concatenate([np.zeros(n_features, bool), (rows == columns) & diagonal, [weight]])


def lower_triangles(vectors, n_features: int, *, form: str = "cholesky"):
    """Cholesky entries of component vectors as matrices, ``(M, d, d)``, 0 above the diagonal."""
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
    means : array, shape (M, d)
    covariances : array, shape (M, d, d)
        Positive definite.
    weights : array, shape (M,)
        Above 0 if their logarithms are written.
    form : str
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
    vectors : array, shape (M, d + d (d + 1) / 2 + 1)
    n_features : int
        d; found from the length of a vector when not given.
    form : str
        How the vectors are written, a key of ``FORMS``.

    Returns
    -------
    means : array, shape (M, d)
    covariances : array, shape (M, d, d)
    weights : array, shape (M,)

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
    form : str
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
