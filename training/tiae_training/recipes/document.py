"""A page of text, of which nothing is known: which patterns come again and again, and where are they?

The auto-encoder learns from 32×32 patches cut everywhere in some pages. Patches of another page are described;
mean-shift clustering of the descriptors finds the typical patterns, which turn out to be combinations of letters,
and where patches shift to shows the places of the patterns. The letters of the pages are known, and used to check only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiae_ros.errors import DataError, MissingExtraError, install_hint
from tiae_ros.model.autoencoder import Autoencoder
from tiae_training.data.arrays import ImageArrays, load_arrays
from tiae_training.data.documents import Page, grid_corners, patches, printed_page, random_corners, set_page
from tiae_training.recipes.recipe import Recipe, Workplace, at_least

SIDE = 32
RADIUS = 8
EPOCHS, PRINTED_EPOCHS = 16, 8
# Print is the same each time, so nothing is deformed; and patches of one combination of letters at two places must not
# be told apart, as the contrastive term would.
SETTINGS: dict[str, Any] = {
    "transforms": "shift",
    "shift_radius_px": RADIUS,
    "deformation": 0.0,
    "contrastive_weight": 0.0,
}
PATCHES = 4500  # to learn from
CLUSTERED = 2500  # patches of the test page that are clustered
HEAT_STEP, QUICK_STEP = 3, 12  # pixels between the patches of the heat map
FEWEST_MEMBERS, FEWEST_PLACES = 10, 3  # of a cluster that counts
PURE = 0.8
SHOWN, SHOWN_MEMBERS = 12, 9


@dataclass(frozen=True)
class Found:
    """What the model says of patches: their corners (N, 2), descriptors (N, K), restored (N, S, S), shifts (N, 2)."""

    corners: np.ndarray
    descriptors: np.ndarray
    restored: np.ndarray
    shifts: np.ndarray

    @property
    def centres(self) -> np.ndarray:
        """Where the patterns are on the page: the middle of the patch, moved by its shift. (N, 2) x, y."""
        return self.corners + (SIDE - 1) / 2 + self.shifts


@dataclass(frozen=True)
class Cluster:
    """Patches (rows of `Found`) of one pattern (S, S); the letters under most of them, where letters are known."""

    members: np.ndarray
    pattern: np.ndarray
    letters: str = ""
    purity: float = 0.0
    places: int = 0  # different places on the page under members with those letters


def run(workplace: Workplace) -> dict[str, Any]:
    """Learn from pages, cluster the patches of another and compare with its letters."""
    if workplace.data is not None:
        pages = own_pages(workplace)
        training, test = pages[:-1] or pages, pages[-1]
    else:
        training, test = (
            [set_page(3 * workplace.seed + number) for number in range(3)],
            set_page(1_000 + workplace.seed),
        )
    model = learn(workplace, "model", training, EPOCHS)
    clustered, step = (CLUSTERED, HEAT_STEP) if workplace.windows is None else (4 * workplace.windows, QUICK_STEP)
    found = look(model, test, random_corners(test, clustered, workplace.seed + 1))
    clusters = find_clusters(found, test)
    heat = heat_map(look(model, test, grid_corners(test, step)), test, step)
    figures: dict[str, Any] = {"windows": workplace.windows or PATCHES, "clusters": len(clusters)}
    if test.letters:
        pure = [cluster for cluster in clusters if cluster.purity >= PURE and cluster.places >= FEWEST_PLACES]
        on_text, chance = share_on_text(heat, test)
        figures |= {
            "pure_clusters": len(pure),
            "letter_combinations": len({cluster.letters for cluster in pure}),
            "mean_purity": float(np.mean([cluster.purity for cluster in clusters])) if clusters else 0.0,
            "peaks": len(peaks(heat)),
            "peaks_on_text": on_text,
            "peaks_on_text_by_chance": chance,
            "peaks_on_margins": on_margins(heat, test),
        }
    others = []
    if workplace.data is None:
        printed = printed_page()
        on_print = learn(workplace, "printed", [printed], PRINTED_EPOCHS)
        others = [(printed, heat_map(look(on_print, printed, grid_corners(printed, step)), printed, step))]
    draw(workplace, [(test, heat), *others], found, clusters)
    return figures


def own_pages(workplace: Workplace) -> list[Page]:
    """The pictures of --data as pages, ink on nothing. Raises DataError when they are no larger than patches."""
    assert workplace.data is not None
    images = load_arrays(workplace.data).images
    if min(images.shape[2:]) < 4 * SIDE:
        raise DataError(
            f"{workplace.data.name} holds windows of {images.shape[3]}×{images.shape[2]} pixels; the recipe document "
            f"cuts {SIDE}×{SIDE} patches from pages: give images of at least {4 * SIDE}×{4 * SIDE} pixels"
        )
    workplace.leave_out("pure_clusters, peaks_on_text", "the text of the pages is not known")
    grey = images.mean(1)
    return [Page(1.0 - page if page.mean() > 0.5 else page) for page in grey]  # dark print on bright paper is usual


def learn(workplace: Workplace, name: str, pages: list[Page], epochs: int) -> Autoencoder:
    """A model of patches from everywhere; those on blank paper, which show nothing, are left out."""
    each = -(-(workplace.windows or PATCHES) // max(2, len(pages)))  # a single page shows less
    cut = [patches(page, random_corners(page, 3 * each, workplace.seed)) for page in pages]
    inked = [windows[windows.sum((1, 2, 3)) > SIDE / 2][:each] for windows in cut]
    arrays = ImageArrays(images=np.concatenate(inked), channels=("ink",), data_id=f"{len(pages)} pages, patches")
    return workplace.train(name, arrays, epochs=epochs, **SETTINGS)


def look(model: Autoencoder, page: Page, corners: np.ndarray) -> Found:
    """Describe the patches at these corners."""
    seen = patches(page, corners)
    descriptors = model.encode(seen)
    restored = np.concatenate([model.decode(part)[:, 0] for part in np.array_split(descriptors, 1 + len(seen) // 4096)])
    return Found(corners, descriptors, restored, model.estimate_shift(seen))


def find_clusters(found: Found, page: Page) -> list[Cluster]:
    """Mean-shift clusters (Comaniciu & Meer 2002) of the descriptors of patches that show something, largest first.

    The bandwidth is that of the patches' 30 nearest. Raises MissingExtraError without scikit-learn.
    """
    try:
        from sklearn.cluster import MeanShift
        from sklearn.neighbors import NearestNeighbors
    except ImportError:
        raise MissingExtraError(
            f"the recipe document needs scikit-learn; install it: {install_hint('train')}"
        ) from None
    rows = np.flatnonzero(found.restored.sum((1, 2)) > SIDE / 2)
    if len(rows) < FEWEST_MEMBERS:
        return []
    descriptors = found.descriptors[rows]
    near = min(len(rows) - 1, 15)
    bandwidth = float(np.median(NearestNeighbors(n_neighbors=near).fit(descriptors).kneighbors()[0][:, -1]))
    labels = MeanShift(bandwidth=bandwidth, cluster_all=False, n_jobs=1).fit_predict(descriptors)
    clusters = []
    for label, size in Counter(labels[labels >= 0]).most_common():
        if size >= FEWEST_MEMBERS:
            members = rows[labels == label]
            clusters.append(with_letters(found, page, members))
    return clusters


def with_letters(found: Found, page: Page, members: np.ndarray) -> Cluster:
    """The cluster, and the combination of letters that most of its members have under their pattern."""
    pattern = found.restored[members].mean(0)
    if not page.letters:
        return Cluster(members, pattern)
    inked = pattern >= 0.5 * pattern.max()
    x, y = np.flatnonzero(inked.any(0)), np.flatnonzero(inked.any(1))
    box = np.array([x[0], y[0], x[-1], y[-1]], float)
    under = [letters_in(page, found.corners[row] + found.shifts[row], box) for row in members]
    (most, count), *_ = Counter("".join(page.letters[i].text for i in letters) for letters in under).most_common()
    if not most:
        return Cluster(members, pattern)
    places = {letters for letters in under if "".join(page.letters[i].text for i in letters) == most}
    return Cluster(members, pattern, most, count / len(members), len(places))


def letters_in(page: Page, corner: np.ndarray, box: np.ndarray) -> tuple[int, ...]:
    """Which letters have their centres in a box (x0, y0, x1, y1) of a window whose corner is at (x, y)."""
    centres = np.array([letter.centre for letter in page.letters]) - corner
    inside = (centres >= box[:2]).all(1) & (centres <= box[2:]).all(1)
    return tuple(np.flatnonzero(inside).tolist())


def heat_map(found: Found, page: Page, step: int) -> np.ndarray:
    """How many patches (one per step² pixels) shift to each place, spread over a few pixels: (H, W), evenly 1."""
    from scipy.ndimage import gaussian_filter

    height, width = page.ink.shape
    x, y = np.floor(found.centres + 0.5).astype(int).T  # not rint: it rounds halves to even places
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    heat = np.zeros((height, width))
    np.add.at(heat, (y[inside], x[inside]), 1.0)
    spread: np.ndarray = gaussian_filter(heat, max(1.5, step / 2)) * step**2
    return spread


def peaks(heat: np.ndarray) -> np.ndarray:
    """Places (N, 2) x, y where the heat is highest within ±4 pixels and three times what it would be everywhere."""
    from scipy.ndimage import maximum_filter

    y, x = np.nonzero((heat == maximum_filter(heat, 9)) & (heat >= 3.0))
    return np.stack((x, y), 1)


def share_on_text(heat: np.ndarray, page: Page) -> tuple[float, float]:
    """The share of peaks in the boxes of letters, and the share of the page that these boxes cover."""
    boxes, places = page.ink_boxes(), peaks(heat)
    on_text = float(boxes[places[:, 1], places[:, 0]].mean()) if len(places) else 0.0
    return on_text, float(boxes.mean())


def on_margins(heat: np.ndarray, page: Page) -> float:
    """The share of peaks outside the rectangle around all letters."""
    low = np.array([(letter.x0, letter.y0) for letter in page.letters]).min(0)
    high = np.array([(letter.x1, letter.y1) for letter in page.letters]).max(0)
    places = peaks(heat)
    return float(((places < low) | (places >= high)).any(1).mean()) if len(places) else 0.0


def draw(workplace: Workplace, pages: list[tuple[Page, np.ndarray]], found: Found, clusters: list[Cluster]) -> None:
    """Pages with where patches shift to (left), and clusters: their pattern and members at its place (right)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(13, 9.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(7, 6))
    page_axes = left.subplots(len(pages), 1, squeeze=False, height_ratios=[page.ink.shape[0] for page, _ in pages])
    for (page, heat), axes in zip(pages, page_axes[:, 0], strict=True):
        axes.imshow(1.0 - 0.75 * page.ink, cmap="gray", vmin=0.0, vmax=1.0)
        axes.imshow(np.ma.masked_less(heat, 1.5), cmap="autumn_r", alpha=0.6)
        axes.scatter(*peaks(heat).T, s=6, c="tab:blue", linewidths=0)
        axes.set(xticks=[], yticks=[])
    left.suptitle("Where patches shift to (yellow to red), peaks blue", fontsize=11)
    right.suptitle("Clusters: restored pattern, and members moved to its place", fontsize=11)
    shown = clusters[:SHOWN]
    page = pages[0][0]
    all_axes = right.subplots(max(1, len(shown)), 1 + SHOWN_MEMBERS, squeeze=False)
    for axes in all_axes.flat:
        axes.set(xticks=[], yticks=[], visible=False)
    for cluster, row in zip(shown, all_axes, strict=False):
        places = found.corners[cluster.members] + np.rint(found.shifts[cluster.members]).astype(int)
        height, width = page.ink.shape
        inside = ((places >= 0) & (places <= (width - SIDE, height - SIDE))).all(1)
        windows = [cluster.pattern, *patches(page, places[inside][:SHOWN_MEMBERS])[:, 0]]
        for window, axes in zip(windows, row, strict=False):
            axes.imshow(1.0 - window, cmap="gray", vmin=0.0, vmax=1.0)
            axes.set_visible(True)
        if cluster.letters:
            row[0].set_title(f"“{cluster.letters}” {cluster.purity:.0%}", fontsize=8)
        else:
            row[0].set_title(f"{len(cluster.members)} patches", fontsize=8)
    figure.savefig(workplace.out / "document.png", dpi=90)
    pyplot.close(figure)


DOCUMENT = Recipe(
    "document",
    "combinations of letters found in pages by clustering patches, and where they are",
    run,
    (at_least("pure_clusters", 8), at_least("letter_combinations", 8)),
    of_digits=False,
)
