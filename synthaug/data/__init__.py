"""Labelled images from sources, their splits, their augmentation and their mixture with synthetic sets."""
