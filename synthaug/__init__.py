"""Does synthetic data help my classifier, by how much, and where is the set I can use?

The public API: sources and splits of labelled images, generators that learn from them, shard sets that hold what the
generators draw, a DataModule that mixes both, and a bench that measures what the mixture is worth.
"""

import lazy_loader

# Names are imported when they are first used: a verb that only reads shards need not wait for the training libraries.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
