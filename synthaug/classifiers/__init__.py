"""Image classifiers and how they are trained; they know nothing of where images come from."""
