"""Shard sets: folders of WebDataset tars with a manifest. The on-disk format is described in README.md here."""
