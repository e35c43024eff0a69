"""Sizes and strengths of the built-in model and of its draft, both of the Llama architecture."""

from dataclasses import dataclass

HEAD_DIM = 64
ROPE_THETA = 10000.0
NORM_EPSILON = 1e-5
CONTEXT_LENGTH = 4096

LANES = 8
"""How many dimensions carry one feature: with several, no single number has to be large. Even, see `weights`."""
VERDICTS = (slice(0, LANES), slice(LANES, 2 * LANES))
"""Where attention writes feature k of the kind of word that must follow."""
FEATURES = (slice(2 * LANES, 3 * LANES), slice(3 * LANES, 4 * LANES))
"""Where an embedding holds feature k of its token."""
CONSTANT = 4 * LANES
"""The dimension that is the same for every token."""
FREE = CONSTANT + 1
"""From here on the dimensions are random: they tell words apart."""


@dataclass(frozen=True)
class Architecture:
    """Sizes of a model, and the strength of each of its parts.

    Attributes:
        name: Names the random draws.
        hidden: Width of the residual stream.
        layers: Number of layers.
        heads: Query heads of HEAD_DIM dimensions; the first two of layer 0 see to agreement.
        kv_heads: Key and value heads.
        intermediate: Width of the MLP.
        private: What a token's embedding holds beside its successors; one successor is 1.
        favour: What the favourite successor has above the others, in the same unit.
        agreement: By how much a successor is moved up or down for each feature of its kind, in the same unit.
        query: Deviation of the random heads' queries: the more, the more these heads pick single tokens.
        attention: Size of what the random heads of a layer add to the residual stream.
        mlp: Size of what a layer's MLP adds.
        scale: Of the output head; the logit of a word that may follow comes out at about 16.
    """

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    private: float
    favour: float
    agreement: tuple[float, float]
    query: float
    attention: float
    mlp: float
    scale: float


MAIN = Architecture(
    name="main",
    hidden=512,
    layers=8,
    heads=8,
    kv_heads=4,
    intermediate=1408,
    private=0.7,
    favour=0.55,
    agreement=(0.18, 0.18),
    query=2.25,
    attention=0.45,
    mlp=0.15,
    scale=0.07,
)
"""28 million parameters."""

DRAFT = Architecture(
    name="draft",
    hidden=256,
    layers=2,
    heads=4,
    kv_heads=2,
    intermediate=704,
    private=0.3,
    favour=0.55,
    agreement=(0.18, 0.07),
    query=1.0,
    attention=0.1,
    mlp=0.05,
    scale=0.14,
)
"""4 million parameters; knows the same language, and weighs one of the two agreements less than it should."""
