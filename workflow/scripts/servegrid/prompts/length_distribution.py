"""Draw lengths with a realistic spread, many short ones and a long tail; the same on every machine."""

from dataclasses import dataclass
from typing import Self

from servegrid.model import frozen_random

_FACTORS = 12
_WIDTH = 30  # percent: each factor is uniform in 0.7..1.3, so that the product's logarithm has a deviation of about 0.6
_UNIT_BITS = 32


@dataclass(frozen=True)
class LengthDistribution:
    """Distribution of lengths in tokens: mean and bounds.

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
        """Distribution whose lengths are all equal."""
        return cls(length, length, length)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse "64", all of one length, or "64:16:256", mean, minimum and maximum."""
        try:
            numbers = [int(part) for part in text.split(":")]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 3):
            raise ValueError(f"{text!r} is no length; allowed: a number (64) or mean:minimum:maximum (64:16:256)")
        return cls.fixed(numbers[0]) if len(numbers) == 1 else cls(*numbers)


def draw_lengths(label: str, count: int, distribution: LengthDistribution) -> list[int]:
    """Draw `count` lengths, nearly log-normal between the bounds, whose mean is as exact as `count` allows.

    A product of many random factors is nearly log-normal. All arithmetic is on whole numbers; the scale of the
    products is searched so that the mean holds after clipping. Where it cannot, as ever when the mean is a bound, the
    lengths are those nearest to it.
    """
    products = _random_products(label, count)
    target = distribution.mean * count
    low, high = 0, (distribution.maximum + 1) << (2 * _UNIT_BITS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if sum(_clipped(products, middle, distribution)) > target else (middle, high)
    return _clipped(products, low, distribution)


def _random_products(label: str, count: int) -> list[int]:
    """Random products of _FACTORS factors, with mean 2**_UNIT_BITS."""
    draws = frozen_random.integers(f"{label}/factors", (count, _FACTORS), 2**17).tolist()
    unit = 100 << 16
    products = []
    for row in draws:
        product = 1 << _UNIT_BITS
        for draw in row:
            product = product * (unit + _WIDTH * (draw - 2**16)) // unit
        products.append(product)
    return products


def _clipped(products: list[int], scale: int, distribution: LengthDistribution) -> list[int]:
    shift = 2 * _UNIT_BITS
    return [min(max((product * scale) >> shift, distribution.minimum), distribution.maximum) for product in products]
