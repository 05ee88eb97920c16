"""What scripts/render_docs.py writes: each document from results and the packaged checkpoints."""
