"""The commands of ``hepgmm``, each a thin face of one function."""
