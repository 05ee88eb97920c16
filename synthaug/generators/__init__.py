"""Generators of labelled images: one protocol, one checkpoint layout, one folder per backend."""
