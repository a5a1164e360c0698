"""What every generator of pileup events has in common: its files, and that it must be fitted."""

from __future__ import annotations

from typing import ClassVar

from sklearn.base import BaseEstimator

from hepgmm.pileup.archive import load_model, save_model

__all__ = ["Generator"]


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
