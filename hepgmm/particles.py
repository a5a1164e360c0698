"""Masses of the particles that make most displaced tracks, in GeV."""

__all__ = ["KAON", "LAMBDA", "PION", "PROTON"]

#: S. Navas et al. (Particle Data Group), Phys. Rev. D 110, 030001 (2024); K_S is as heavy as K⁰.
KAON, LAMBDA, PION, PROTON = 0.497611, 1.115683, 0.139570, 0.938272
