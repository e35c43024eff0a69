"""Lengths with a realistic spread: many short ones and a long tail, the same on every machine."""

from dataclasses import dataclass
from typing import Self

from servegrid.model import bits

_FACTORS = 12
_WIDTH = 30  # percent: each factor is uniform in 0.7..1.3, so that the product's logarithm has a deviation of about 0.6
_UNIT_BITS = 32


@dataclass(frozen=True)
class Spread:
    """Lengths in tokens: their mean, and the bounds they keep.

    Raises:
        ValueError: Not 1 <= minimum <= mean <= maximum.
    """

    mean: int
    minimum: int
    maximum: int

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.mean <= self.maximum:
            raise ValueError(
                f"lengths of mean {self.mean}, minimum {self.minimum}, maximum {self.maximum} tokens do not exist; "
                "allowed: 1 <= minimum <= mean <= maximum"
            )

    @classmethod
    def fixed(cls, length: int) -> Self:
        """All of one length."""
        return cls(length, length, length)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "64", all of one length, or "64:16:256", mean, minimum and maximum."""
        try:
            numbers = [int(part) for part in text.split(":")]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 3):
            raise ValueError(f"{text!r} is no length; allowed: a number (64) or mean:minimum:maximum (64:16:256)")
        return cls.fixed(numbers[0]) if len(numbers) == 1 else cls(*numbers)


def lengths(label: str, count: int, spread: Spread) -> list[int]:
    """`count` lengths, nearly log-normal between the bounds, of the spread's mean as exactly as `count` allows.

    A product of many random factors is nearly log-normal. All arithmetic is on whole numbers; the scale of the
    products is searched so that the mean holds after clipping. Where it cannot, as ever when the mean is a bound, the
    lengths are those nearest to it.
    """
    products = _products(label, count)
    target = spread.mean * count
    low, high = 0, (spread.maximum + 1) << (2 * _UNIT_BITS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if sum(_clipped(products, middle, spread)) > target else (middle, high)
    return _clipped(products, low, spread)


def _products(label: str, count: int) -> list[int]:
    """Random products of mean 2**_UNIT_BITS."""
    draws = bits.integers(f"{label}/factors", (count, _FACTORS), 2**17).tolist()
    unit = 100 << 16
    products = []
    for row in draws:
        product = 1 << _UNIT_BITS
        for draw in row:
            product = product * (unit + _WIDTH * (draw - 2**16)) // unit
        products.append(product)
    return products


def _clipped(products: list[int], scale: int, spread: Spread) -> list[int]:
    shift = 2 * _UNIT_BITS
    return [min(max((product * scale) >> shift, spread.minimum), spread.maximum) for product in products]
