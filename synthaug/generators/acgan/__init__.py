"""Auxiliary-classifier GANs: the classic one (Odena et al. 2017) and its stable successors."""
