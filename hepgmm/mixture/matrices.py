"""Compiled linear algebra of small covariances, one of many at a time and without allocation.

``scratch`` is room for three matrices, ``(3, d, d)``; the number of features d is the length of the
tuple ``scales``, known when the functions are compiled. Tracks have four features: what takes
longest is written out for four, since loops whose length varies do not unroll.
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
    d, matrix, factor = len(scales), matrices[k], scratch[0]
    if d == 4:
        return factorise_four(matrix, shift, least, factor)
    for j in range(d):
        for i in range(j, d):
            rest = matrix[i, j]
            for m in range(j):
                rest -= factor[i, m] * factor[j, m]
            if i > j:
                factor[i, j] = rest * factor[j, j]
            elif max(rest - shift, least) > 0.0:
                factor[j, j] = 1.0 / np.sqrt(max(rest - shift, least))
            else:
                return False
    return True


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def factorise_four(matrix, shift, least, factor):
    """:func:`factorise` of four features, written out: three times as fast as its loops."""
    pivot0 = max(matrix[0, 0] - shift, least)
    f00 = 1.0 / np.sqrt(pivot0)
    f10, f20, f30 = matrix[1, 0] * f00, matrix[2, 0] * f00, matrix[3, 0] * f00
    pivot1 = max(matrix[1, 1] - f10 * f10 - shift, least)
    f11 = 1.0 / np.sqrt(pivot1)
    f21 = (matrix[2, 1] - f20 * f10) * f11
    f31 = (matrix[3, 1] - f30 * f10) * f11
    pivot2 = max(matrix[2, 2] - f20 * f20 - f21 * f21 - shift, least)
    f22 = 1.0 / np.sqrt(pivot2)
    f32 = (matrix[3, 2] - f30 * f20 - f31 * f21) * f22
    pivot3 = max(matrix[3, 3] - f30 * f30 - f31 * f31 - f32 * f32 - shift, least)
    factor[0, 0], factor[1, 1], factor[2, 2] = f00, f11, f22
    factor[3, 3] = 1.0 / np.sqrt(pivot3)
    factor[1, 0], factor[2, 0], factor[3, 0] = f10, f20, f30
    factor[2, 1], factor[3, 1], factor[3, 2] = f21, f31, f32
    return pivot0 > 0.0 and pivot1 > 0.0 and pivot2 > 0.0 and pivot3 > 0.0


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def whiten(covariances, k, floor, whiteners, scratch, scales):
    """Inverse Cholesky factor of a covariance into ``whiteners[k]``; returns log of its det.

    No eigenvalue of the covariance is below the floor, which is at least 1.
    """
    d, factor, whitener = len(scales), scratch[0], whiteners[k]
    factorise(covariances, k, 0.0, floor, scratch, scales)
    if d == 4:
        invert_four(factor, whitener)
    else:
        for j in range(d):
            whitener[j, j] = factor[j, j]
            for i in range(j + 1, d):
                rest = 0.0
                for m in range(j, i):
                    rest -= factor[i, m] * whitener[m, j]
                whitener[i, j] = rest * factor[i, i]
    det, log_det = 1.0, 0.0
    for j in range(d):
        det *= factor[j, j]
        if det < SMALL:
            log_det += np.log(det)
            det = 1.0
    return log_det + np.log(det)


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def invert_four(factor, whitener):
    """Inverse of a factor that :func:`factorise_four` made, written out."""
    f00, f11, f22, f33 = factor[0, 0], factor[1, 1], factor[2, 2], factor[3, 3]
    w10 = -factor[1, 0] * f00 * f11
    w21 = -factor[2, 1] * f11 * f22
    w32 = -factor[3, 2] * f22 * f33
    w20 = -(factor[2, 0] * f00 + factor[2, 1] * w10) * f22
    w31 = -(factor[3, 1] * f11 + factor[3, 2] * w21) * f33
    w30 = -(factor[3, 0] * f00 + factor[3, 1] * w10 + factor[3, 2] * w20) * f33
    whitener[0, 0], whitener[1, 1], whitener[2, 2], whitener[3, 3] = f00, f11, f22, f33
    whitener[1, 0], whitener[2, 0], whitener[3, 0] = w10, w20, w30
    whitener[2, 1], whitener[3, 1], whitener[3, 2] = w21, w31, w32


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy", inline="always")
def rotate(matrix, vectors, p, q, floor, d):
    """Turn features p and q so that ``matrix[p, q]`` vanishes; False if it is as good as 0."""
    app, aqq, apq = matrix[p, p], matrix[q, q], matrix[p, q]
    if apq * apq <= NEGLIGIBLE * max(app, floor) * max(aqq, floor):
        return False
    half = 0.5 * (aqq - app)
    tangent = apq / (abs(half) + np.sqrt(half * half + apq * apq))
    if half < 0.0:
        tangent = -tangent
    cosine = 1.0 / np.sqrt(tangent * tangent + 1.0)
    sine = tangent * cosine
    for m in range(d):
        a, b = matrix[m, p], matrix[m, q]
        matrix[m, p] = matrix[p, m] = cosine * a - sine * b
        matrix[m, q] = matrix[q, m] = sine * a + cosine * b
        a, b = vectors[m, p], vectors[m, q]
        vectors[m, p], vectors[m, q] = cosine * a - sine * b, sine * a + cosine * b
    matrix[p, p], matrix[q, q] = app - tangent * apq, aqq + tangent * apq
    matrix[p, q] = matrix[q, p] = 0.0
    return True


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def diagonalise(scratch, floor, scales):
    """Jacobi's rotations of ``scratch[1]``, in place; eigenvectors as columns of ``scratch[2]``."""
    d = len(scales)
    matrix, vectors = scratch[1], scratch[2]
    for i in range(d):
        for j in range(d):
            vectors[i, j] = 1.0 if i == j else 0.0
    for _ in range(50):
        turned = False
        if d == 4:  # neighbouring turns share no row: the processor works on both at once
            turned |= rotate(matrix, vectors, 0, 1, floor, 4)
            turned |= rotate(matrix, vectors, 2, 3, floor, 4)
            turned |= rotate(matrix, vectors, 0, 2, floor, 4)
            turned |= rotate(matrix, vectors, 1, 3, floor, 4)
            turned |= rotate(matrix, vectors, 0, 3, floor, 4)
            turned |= rotate(matrix, vectors, 1, 2, floor, 4)
        else:
            for distance in range(1, d):
                for p in range(d - distance):
                    turned |= rotate(matrix, vectors, p, p + distance, floor, d)
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
