"""The perigee of a charged particle: where its helix comes closest to the z axis."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = [
    "Perigee",
    "perigee",
]

# Curvature k = CURVATURE * charge * field / pT in 1/mm: c = 299792458 m/s turns
# e·T into GeV per metre, and metres into millimetres.
CURVATURE = 0.299792458e-3


class Perigee(NamedTuple):
    """Track parameters at the point of closest approach to the z axis.

    Attributes
    ----------
    pt
        Transverse momentum in GeV.
    eta
        Pseudorapidity.
    phi
        Azimuth of the momentum at the perigee in rad.
    d0
        Signed transverse impact parameter in mm (the sign that Delphes uses).
    dz
        z of the perigee in mm, relative to the same point as the ``z`` that was given.
    """

    pt: np.ndarray
    eta: np.ndarray
    phi: np.ndarray
    d0: np.ndarray
    dz: np.ndarray


def perigee(x, y, z, px, py, pz, charge, *, field=2.0) -> Perigee:
    r"""Perigee parameters of particles in a solenoid.

    With :math:`c, s = p_x/p_T, p_y/p_T`, curvature
    :math:`k = 0.299792458 \cdot 10^{-3}\, qB/p_T` (1/mm),
    :math:`u = xs - yc` and :math:`w = xc + ys`:

    .. math::

        d_0 &= \frac{k(x^2+y^2) + 2u}{1 + \sqrt{(1+ku)^2 + (kw)^2}}, \\
        \varphi &= \mathrm{atan2}(s + kx,\ c - ky), \\
        d_z &= z - \frac{\delta}{k} \frac{p_z}{p_T},
        \qquad \delta = \mathrm{atan2}(kw,\ 1 + ku),

    where :math:`\delta` is the turning angle from the perigee to the production point. For
    :math:`k \to 0` (no charge or no field) this becomes a straight line.

    Parameters
    ----------
    x, y, z
        Production point in mm, relative to the reference point; any common shape.
    px, py, pz
        Momentum there, in GeV; pT must not be zero.
    charge
        Charge in units of the positron's.
    field
        Magnetic field along z in tesla.

    Returns
    -------
    Perigee
        ``pt, eta, phi, d0, dz``, float64 arrays of the common shape.

    Examples
    --------
    A particle made at the origin has no impact parameters; one made beside its line of flight
    does:

    >>> float(perigee(0, 0, 5.0, 1.0, 0, 1.0, 1).d0)
    0.0
    >>> track = perigee(0, -3.0, 0, 1.0, 0, 0, 0)
    >>> float(track.d0), float(track.dz)
    (3.0, 0.0)
    """
    x, y, z, px, py, pz, charge = np.broadcast_arrays(
        *(np.asarray(value, dtype=np.float64) for value in (x, y, z, px, py, pz, charge))
    )
    pt = np.hypot(px, py)
    cos, sin = px / pt, py / pt
    k = CURVATURE * charge * field / pt
    u = x * sin - y * cos
    w = x * cos + y * sin
    d0 = (k * (x**2 + y**2) + 2 * u) / (1 + np.hypot(1 + k * u, k * w))
    delta = np.arctan2(k * w, 1 + k * u)
    path = np.where(k == 0, w, delta / np.where(k == 0, 1.0, k))
    return Perigee(
        pt=pt,
        eta=np.arcsinh(pz / pt),
        phi=np.arctan2(sin + k * x, cos - k * y),
        d0=d0,
        dz=z - path * pz / pt,
    )
