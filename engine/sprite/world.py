"""The words of the Sprite world: object classes, their plurals and groups, colours, places.

One table of facts per subject. The tokenizer and the art cover every class; a training recipe names the
subset it shows (`Recipe.classes`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One class of object: its name, plural, group and the id of its emoji in the art files."""

    name: str
    plural: str
    group: str
    emoji: str
    colour: str | None = None  # natural colour, where it has one that both styles share
    recolour: bool = False  # drawn in any of COLOURS


def _kinds(group: str, *rows: str) -> list[Kind]:
    """Rows are `name[/plural][=emoji][:natural colour][*]`; a star marks a recoloured class."""
    kinds = []
    for row in rows:
        recolour = row.endswith("*")
        row, _, colour = row.rstrip("*").partition(":")
        row, _, emoji = row.partition("=")
        name, _, plural = row.partition("/")
        kinds.append(Kind(name, plural or name + "s", group, emoji or name, colour or None, recolour))
    return kinds


KINDS: tuple[Kind, ...] = (
    *_kinds(
        "animals", "dog", "cat", "horse:brown", "cow", "pig:pink", "elephant:gray", "rabbit",
        "giraffe:yellow", "turtle:green", "duck", "penguin", "owl:brown", "butterfly/butterflies",
        "octopus/octopuses", "crab:red", "snail", "fox/foxes:orange", "lion", "panda", "frog:green",
        "fish/fish=tropical-fish", "bee=honeybee:yellow", "whale=spouting-whale:blue",
    ),
    *_kinds(
        "foods", "apple=red-apple:red", "banana:yellow", "strawberry/strawberries:red",
        "orange=tangerine:orange", "pineapple", "carrot:orange", "pizza", "hamburger", "donut=doughnut",
        "mushroom",
    ),
    *_kinds(
        "vehicles", "car=automobile*", "bus/buses", "bicycle", "airplane", "rocket", "boat=sailboat",
        "train=locomotive",
    ),
    *_kinds(
        "things", "tree=deciduous-tree:green", "flower=tulip", "house", "umbrella*", "balloon*",
        "book=closed-book*", "key", "guitar", "chair", "hat=top-hat", "star:yellow", "heart=red-heart*",
        "shirt=t-shirt*", "ball=soccer-ball", "clock=alarm-clock",
    ),
)  # fmt: skip
BY_NAME = {kind.name: kind for kind in KINDS}

# Hue in degrees; the medians of saturation and value that recoloured pixels are scaled to (0..255).
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (0, 210, 220),
    "orange": (28, 215, 240),
    "yellow": (52, 205, 245),
    "green": (125, 205, 170),
    "blue": (215, 205, 215),
    "purple": (275, 205, 170),
    "pink": (330, 120, 250),
}
NATURAL_COLOURS = ("brown", "gray")
COLOUR_WORDS = (*COLOURS, *NATURAL_COLOURS)

FIRST_LIGHT = (
    "dog", "cat", "horse", "cow", "pig", "elephant", "rabbit", "turtle", "duck", "penguin", "butterfly",
    "crab", "fish", "bee", "whale", "apple", "banana", "strawberry", "carrot", "pizza", "donut", "car", "bus",
    "airplane", "boat", "train", "tree", "flower", "house", "umbrella", "balloon", "star", "heart",
)  # fmt: skip
"""The 33 classes that the shipped Sprite 2 was trained on."""

STYLES = ("fluent", "noto")
NUMBER_WORDS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight")
ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "center", "right")


def cell_name(x: float, y: float) -> str:
    """Name of the 3×3 cell that holds the point (fractions): "top left", "center", "bottom right" …"""
    row = ROWS[(y >= 0.36) + (y >= 0.64)]
    column = COLUMNS[(x >= 0.36) + (x >= 0.64)]
    if row == "middle":
        return column
    return row if column == "center" else f"{row} {column}"


def with_article(phrase: str) -> str:
    """ "a dog", "an orange car"."""
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"
