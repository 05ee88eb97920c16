"""Test images that can be used once, so that no choice is made by what they say; who tests is in `tested`."""

from __future__ import annotations

from typing import NoReturn

from synthaug.core.types import LabelledImages


class TestImages:
    """The test images of a bench, of which every cell gets one sealed copy, and nobody anything else.

    Attributes:
        count: Number of images.
    """

    __test__ = False  # no test of pytest's

    def __init__(self, images: LabelledImages) -> None:
        self.count = len(images)
        self._images = images
        self._sealed: set[str] = set()

    def seal(self, cell: str) -> SealedTest:
        """The images for the one test of a cell, named by its key.

        Raises:
            RuntimeError: If this cell has had them.
        """
        if cell in self._sealed:
            raise RuntimeError(f"the test images of cell {cell} have been handed out; each cell is tested once")
        self._sealed.add(cell)
        return SealedTest(self._images)


class SealedTest:
    """The test images of one cell, handed out once. Has no copies: each could be opened."""

    __slots__ = ("_class_count", "_images")

    def __init__(self, images: LabelledImages) -> None:
        self._class_count = len(images.class_names)
        self._images: LabelledImages | None = images

    @property
    def class_count(self) -> int:
        """Number of classes."""
        return self._class_count

    def open(self) -> LabelledImages:
        """The images, the first time.

        Raises:
            RuntimeError: Ever after.
        """
        images, self._images = self._images, None
        if images is None:
            raise RuntimeError(
                "the test images of this cell have been used; choose by validation images, and test once, at the end"
            )
        return images

    def __reduce__(self) -> NoReturn:
        raise TypeError("the test images of a cell are neither copied nor pickled: each copy could be opened")
