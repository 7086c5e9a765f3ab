"""Pages of text whose letters and their places are known, and patches cut from everywhere in them.

Set with Pillow in a typeface that matplotlib carries, so that nothing has to be downloaded. Pages are ink on nothing:
0 is paper, 1 is ink.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tiae_ros.errors import MissingExtraError, install_hint

SANS, SERIF = "DejaVuSans.ttf", "DejaVuSerif.ttf"
_WORDS = """the hand that holds the thing and the hand that lets the thing go are one hand in the end what is seen then
is a thing that rests in a hand there is no other thing than that the sand and the land stand at the other end and
that string is in the ring then the king sings in the tent this and the last one"""


@dataclass(frozen=True)
class Letter:
    """One printed letter and its box on the page, pixels; x1 and y1 are just outside."""

    text: str
    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def centre(self) -> tuple[float, float]:
        return (self.x0 + self.x1 - 1) / 2, (self.y0 + self.y1 - 1) / 2


@dataclass(frozen=True)
class Page:
    """A picture (H, W) float32 0..1 and, where they are known, its letters."""

    ink: np.ndarray
    letters: tuple[Letter, ...] = ()

    def ink_boxes(self) -> np.ndarray:
        """(H, W) bool: where a letter's box is."""
        covered = np.zeros(self.ink.shape, bool)
        for letter in self.letters:
            covered[letter.y0 : letter.y1, letter.x0 : letter.x1] = True
        return covered


def set_page(
    seed: int,
    *,
    width: int = 640,
    height: int = 640,
    size_px: int = 24,
    leading_px: int = 44,
    margin_px: int = 64,
    font_name: str = SANS,
) -> Page:
    """A page of words in random order. Raises MissingExtraError without Pillow and matplotlib."""
    try:
        import matplotlib
        from PIL import Image, ImageDraw, ImageFont
    except ImportError:
        raise MissingExtraError(
            f"pages are set by Pillow in a typeface of matplotlib; install them: {install_hint('experiments')}"
        ) from None
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / font_name), size_px)
    picture = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(picture)
    rng = np.random.default_rng(seed)
    words = _WORDS.split()
    letters = []
    for baseline in range(margin_px + size_px, height - margin_px, leading_px):
        x = margin_px
        while True:
            word = str(rng.choice(words))
            if x + font.getlength(word) > width - margin_px:
                break
            for character in word:
                draw.text((x, baseline), character, fill=255, font=font, anchor="ls")
                left, top, right, bottom = font.getbbox(character, anchor="ls")
                letters.append(
                    Letter(
                        character, x + round(left), baseline + round(top), x + round(right), baseline + round(bottom)
                    )
                )
                x += round(font.getlength(character))
            x += round(font.getlength(" "))
    return Page(np.asarray(picture, np.float32) / 255.0, tuple(letters))


def printed_page() -> Page:
    """`skimage.data.page()`: a photographed page, its light evened out and enlarged by two; the text is not known.

    Raises MissingExtraError without scikit-image.
    """
    grey = _picture_of_skimage("page")
    from skimage.filters import gaussian
    from skimage.transform import rescale

    paper = gaussian(grey, 12) + 0.08  # mostly paper around each letter
    ink = np.clip(2.5 * (paper - grey) / paper - 0.5, 0.0, 1.0)
    return Page(np.clip(rescale(ink, 2.0, order=1), 0.0, 1.0).astype(np.float32))


def patches(page: Page, corners: np.ndarray, side: int = 32) -> np.ndarray:
    """Windows (N, 1, side, side) with their upper left corners at (x, y), (N, 2) whole pixels inside the page."""
    windows = np.lib.stride_tricks.sliding_window_view(page.ink, (side, side))
    return windows[corners[:, 1], corners[:, 0]][:, None].copy()


def random_corners(page: Page, count: int, seed: int, side: int = 32) -> np.ndarray:
    """Corners everywhere on the page, (count, 2) x, y."""
    height, width = page.ink.shape
    return np.random.default_rng(seed).integers(0, (width - side + 1, height - side + 1), (count, 2))


def grid_corners(page: Page, step: int, side: int = 32) -> np.ndarray:
    """Corners at every `step` pixels, (N, 2) x, y."""
    height, width = page.ink.shape
    y, x = np.mgrid[0 : height - side + 1 : step, 0 : width - side + 1 : step]
    return np.stack((x.ravel(), y.ravel()), 1)


def leaflet_pictures(
    count: int, seed: int, photographs: np.ndarray, *, side: int = 192, font_name: str = SANS
) -> np.ndarray:
    """Leaflets: paragraphs in several sizes and strengths of print around pictures, (count, 1, side, side) 0..1.

    photographs: (M, 1, h, w), of which each leaflet shows one, in dark or light print.
    """
    rng = np.random.default_rng(seed)
    leaflets = []
    for number in range(count):
        size = int(rng.integers(9, 18))
        page = set_page(
            seed * 1_000 + number,
            width=side,
            height=side,
            size_px=size,
            leading_px=round(1.35 * size),
            margin_px=0,
            font_name=font_name,
        )
        leaflet = rng.uniform(0.5, 1.0) * page.ink
        picture = photographs[rng.integers(len(photographs)), 0]
        height, width = (int(rng.integers(length // 2, length + 1)) for length in picture.shape)
        top, left = (int(rng.integers(0, side - length + 1)) for length in (height, width))
        leaflet[top : top + height, left : left + width] = rng.uniform(0.5, 1.0) * picture[:height, :width]
        leaflets.append(leaflet)
    return np.stack(leaflets)[:, None].astype(np.float32)


def scanned_pictures(side: int = 128) -> np.ndarray:
    """The scanned page and the handwritten note inside scikit-image as tiles of ink, (M, 1, side, side) 0..1.

    Raises MissingExtraError without scikit-image.
    """
    tiles = []
    for name in ("page", "text"):
        grey = 1.0 - _picture_of_skimage(name)
        for top in range(0, grey.shape[0] - side + 1, side // 2):
            for left in range(0, grey.shape[1] - side + 1, side // 2):
                tiles.append(grey[top : top + side, left : left + side])
    return np.stack(tiles)[:, None]


def _picture_of_skimage(name: str) -> np.ndarray:
    """A grey picture (H, W) 0..1 that comes inside scikit-image."""
    try:
        import skimage.data
    except ImportError:
        raise MissingExtraError(
            f"scanned pages come with scikit-image; install it: {install_hint('experiments')}"
        ) from None
    return np.asarray(getattr(skimage.data, name)(), np.float32) / 255.0
