"""Lightning: a module of yours, here around torchvision's ResNet-18, on real images and one or several shard sets.

Run it with: python examples/mix_lightning.py SET [SET ...]
"""

import argparse

import lightning.pytorch as pl
import torch
import torchvision

from synthaug import MixedDataModule, Mixture, Synthetic, load_source, make_splits


class Classifier(pl.LightningModule):  # noqa: D101 - any module that knows the fields of a batch
    def training_step(self, batch, _):  # noqa: D102
        return batch.loss(self.network(batch.images.expand(-1, 3, -1, -1)))

    def validation_step(self, batch, _):  # noqa: D102
        self.log("accuracy", self.network(batch.images.expand(-1, 3, -1, -1)).argmax(1).eq(batch.labels).float().mean())

    def configure_optimizers(self):  # noqa: D102
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", nargs="+", help="shard sets: folders or URLs; the first counts twice")
    parser.add_argument("--data", default="digits", help="real images, those that the set was made from")
    parser.add_argument("--per-class-real", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    splits = make_splits(load_source(options.data), per_class_real=options.per_class_real)
    sets = [Synthetic(options.set[0], proportion=2.0), *options.set[1:]]
    model = Classifier()
    model.network = torchvision.models.resnet18(num_classes=len(splits.train.class_names))
    trainer = pl.Trainer(max_epochs=options.epochs, logger=False, enable_checkpointing=False)
    trainer.fit(model, MixedDataModule(splits, sets, Mixture(synthetic_fraction=0.5, batch_size=64)))
    print("{synthetic_fraction:.1%} synthetic, validation accuracy {accuracy:.1%}".format(**trainer.callback_metrics))
