"""A text as an array of code points, so that a rule looks at all of them at once, however many there are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.sanitize.kinds import Kinds, table

Points = NDArray[np.uint32]
Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Characters:
    points: Points
    kinds: Kinds
    #: The kinds that there may be.
    present: int

    @classmethod
    def of(cls, text: str) -> Characters:
        return cls.of_points(points_of(text))

    @classmethod
    def of_points(cls, points: Points) -> Characters:
        kinds = table().take(points)
        return cls(points, kinds, int(np.bitwise_or.reduce(kinds)))

    def text(self) -> str:
        return text_of(self.points)

    def are(self, kind: int) -> Mask:
        return (self.kinds & kind).astype(np.bool_)

    def drop(self, gone: Mask) -> tuple[Characters, int]:
        """The others, and how many went."""
        count = int(np.count_nonzero(gone))
        if not count:
            return self, 0
        kept = ~gone
        return Characters(self.points[kept], self.kinds[kept], self.present), count

    def drop_all(self, kind: int) -> tuple[Characters, int]:
        return self.drop(self.are(kind)) if self.present & kind else (self, 0)

    def before(self, places: Indices, kind: int, distance: int = 1) -> Mask:
        """Whether what stands so far before each place is of the kind."""
        return self._at(places - distance, kind) & (places >= distance)

    def after(self, places: Indices, kind: int, distance: int = 1) -> Mask:
        return self._at(places + distance, kind) & (places + distance < len(self.kinds))

    def _at(self, places: Indices, kind: int) -> Mask:
        return (self.kinds.take(places, mode="clip") & kind).astype(np.bool_)

    def last_without(self, kind: int) -> Indices:
        """For each character the place of the last one up to it that is not of the kind, or -1."""
        places = np.where(self.are(kind), -1, np.arange(len(self.kinds)))
        return np.maximum.accumulate(places)


def at(places: Indices, length: int) -> Mask:
    """True at the places, for as many characters."""
    mask = np.zeros(length, np.bool_)
    mask[places] = True
    return mask


def points_of(text: str) -> Points:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))


def text_of(points: Points) -> str:
    return points.tobytes().decode("utf-32-le", "surrogatepass")
