"""Compiled linear algebra of small covariances, one of many at a time and without allocation.

``scratch`` is room for three matrices, ``(3, d, d)``; the number of features d is the length of the
tuple ``scales``, known when the functions are compiled, so that their loops unroll.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = [
    "EMPTY",
    "FAST",
    "HALF_LOG_2PI",
    "diagonalise",
    "factorise",
    "raise_eigenvalues",
    "whiten",
]

#: Sums may be reordered, which vector instructions need; infinities and NaN keep their meaning.
FAST = {"contract", "reassoc", "nsz", "arcp"}
HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))
#: A product is turned into a logarithm here, before it underflows.
SMALL = 1e-150
#: Share in all points below which a component is empty: K may exceed the number of places.
EMPTY = 1e-300
#: An off-diagonal entry counts as zero below this share, squared, of what lies on the diagonal.
NEGLIGIBLE = 1e-20


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def factorise(matrices, k, shift, least, scratch, scales):
    """Cholesky factor of matrices[k] - shift·1 into ``scratch[0]``; False if there is none.

    On the diagonal stand the inverse entries of the factor: a division takes long. Their squares
    are conditional variances, no less than the smallest eigenvalue; where that is known to be
    ``least``, anything below is rounding. With 0 for ``least``, there is no factor then.
    """
    d = len(scales)
    for j in range(d):
        for i in range(j, d):
            rest = matrices[k, i, j]
            for m in range(j):
                rest -= scratch[0, i, m] * scratch[0, j, m]
            if i > j:
                scratch[0, i, j] = rest * scratch[0, j, j]
            elif max(rest - shift, least) > 0.0:
                scratch[0, j, j] = 1.0 / np.sqrt(max(rest - shift, least))
            else:
                return False
    return True


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def whiten(covariances, k, floor, whiteners, scratch, scales):
    """Inverse Cholesky factor of a covariance into ``whiteners[k]``; returns log of its det.

    No eigenvalue of the covariance is below the floor, which is at least 1.
    """
    d = len(scales)
    factorise(covariances, k, 0.0, floor, scratch, scales)
    det, log_det = 1.0, 0.0
    for j in range(d):
        whiteners[k, j, j] = scratch[0, j, j]
        det *= scratch[0, j, j]
        if det < SMALL:
            log_det += np.log(det)
            det = 1.0
        for i in range(j + 1, d):
            rest = 0.0
            for m in range(j, i):
                rest -= scratch[0, i, m] * whiteners[k, m, j]
            whiteners[k, i, j] = rest * scratch[0, i, i]
    return log_det + np.log(det)


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def diagonalise(scratch, floor, scales):
    """Jacobi's rotations of ``scratch[1]``, in place; eigenvectors as columns of ``scratch[2]``."""
    d = len(scales)
    for i in range(d):
        for j in range(d):
            scratch[2, i, j] = 1.0 if i == j else 0.0
    for _ in range(50):
        turned = False
        # Neighbouring turns share no row, so that the processor works on both at once.
        for distance in range(1, d):
            for p in range(d - distance):
                q = p + distance
                app, aqq, apq = scratch[1, p, p], scratch[1, q, q], scratch[1, p, q]
                if apq * apq <= NEGLIGIBLE * max(app, floor) * max(aqq, floor):
                    continue
                turned = True
                half = 0.5 * (aqq - app)
                tangent = apq / (abs(half) + np.sqrt(half * half + apq * apq))
                if half < 0.0:
                    tangent = -tangent
                cosine = 1.0 / np.sqrt(tangent * tangent + 1.0)
                sine = tangent * cosine
                for m in range(d):
                    a, b = scratch[1, m, p], scratch[1, m, q]
                    scratch[1, m, p] = scratch[1, p, m] = cosine * a - sine * b
                    scratch[1, m, q] = scratch[1, q, m] = sine * a + cosine * b
                    a, b = scratch[2, m, p], scratch[2, m, q]
                    scratch[2, m, p], scratch[2, m, q] = (
                        cosine * a - sine * b,
                        sine * a + cosine * b,
                    )
                scratch[1, p, p], scratch[1, q, q] = app - tangent * apq, aqq + tangent * apq
                scratch[1, p, q] = scratch[1, q, p] = 0.0
        if not turned:
            break


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def raise_eigenvalues(covariances, k, floor, scratch, scales):
    """Raise the eigenvalues of ``covariances[k]`` below the floor to it; returns how many.

    That is the covariance of largest likelihood among those with no eigenvalue below the floor, so
    that EM with it still climbs. Cholesky's factor of Σ - floor·1 exists if there is nothing to do.
    """
    d = len(scales)
    trace = 0.0
    for j in range(d):
        trace += covariances[k, j, j]
    if trace <= floor:
        for i in range(d):
            for j in range(d):
                covariances[k, i, j] = floor if i == j else 0.0
        return d
    if factorise(covariances, k, floor, 0.0, scratch, scales):
        return 0
    for i in range(d):
        for j in range(d):
            scratch[1, i, j] = covariances[k, i, j]
    diagonalise(scratch, floor, scales)
    for i in range(d):
        for j in range(i + 1):
            total = 0.0
            for m in range(d):
                total += scratch[2, i, m] * scratch[2, j, m] * max(scratch[1, m, m], floor)
            covariances[k, i, j] = covariances[k, j, i] = total
    raised = 0
    for m in range(d):
        raised += scratch[1, m, m] <= floor
    return raised
