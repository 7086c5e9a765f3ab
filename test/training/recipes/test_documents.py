"""Pages, patches and clusters by hand: what the recipe document checks itself against."""

import numpy as np
import pytest

from tiae_training.data.documents import Letter, Page, grid_corners, patches, random_corners, set_page
from tiae_training.recipes.document import Found, heat_map, letters_in, on_margins, peaks, share_on_text, with_letters

pytest.importorskip("matplotlib", reason="the typeface comes with matplotlib")


def test_letters_are_where_the_page_says():
    page = set_page(0, width=200, height=120, margin_px=20)
    assert len(page.letters) > 10
    boxes = page.ink_boxes()
    assert page.ink[boxes].sum() > 0.97 * page.ink.sum()
    assert page.ink[20:, :20].sum() == page.ink[:, 180:].sum() == 0.0
    for letter in page.letters:
        assert page.ink[letter.y0 : letter.y1, letter.x0 : letter.x1].max() > 0.5
    assert [letter.text for letter in page.letters] != [letter.text for letter in set_page(1).letters]


def test_patches_are_cut_at_their_corners():
    page = Page(np.arange(48.0).reshape(6, 8))
    assert patches(page, np.array([[3, 1]]), 2).tolist() == [[[[11.0, 12.0], [19.0, 20.0]]]]
    assert grid_corners(page, 2, 4).tolist() == [[0, 0], [2, 0], [4, 0], [0, 2], [2, 2], [4, 2]]
    corners = random_corners(page, 500, 0, 4)
    assert corners.min(0).tolist() == [0, 0]
    assert corners.max(0).tolist() == [4, 2]


def test_letters_under_a_patch_follow_its_shift():
    page = Page(np.zeros((100, 100)), (Letter("a", 10, 10, 15, 20), Letter("b", 20, 10, 25, 20)))
    box = np.array([2.0, 2.0, 12.0, 12.0])
    assert letters_in(page, np.array([4.0, 6.0]), box) == (0,)
    assert letters_in(page, np.array([11.0, 6.0]), box) == (1,)
    assert letters_in(page, np.array([50.0, 6.0]), box) == ()
    assert letters_in(page, np.array([4.0, 6.0]), np.array([2.0, 2.0, 20.0, 12.0])) == (0, 1)


def test_purity_is_the_share_of_the_commonest_combination():
    letters = tuple(Letter(text, x, 40, x + 10, 52) for text, x in zip("aab", (40, 80, 120), strict=True))
    page = Page(np.zeros((100, 200)), letters)
    corners = np.array([[30, 30], [34, 28], [72, 32], [110, 30]])
    true = np.array([[28, 30], [28, 30], [68, 30], [108, 30]])  # their letter is at (12..22, 10..22) there
    restored = np.zeros((4, 32, 32))
    restored[:, 10:22, 12:22] = 1.0
    cluster = with_letters(Found(corners, np.zeros((4, 2)), restored, true - corners), page, np.arange(4))
    assert (cluster.letters, cluster.purity, cluster.places) == ("a", 0.75, 2)


def test_heat_peaks_where_shifts_meet():
    page = Page(np.zeros((96, 96)), (Letter("a", 40, 40, 60, 60),))
    corners = grid_corners(page, 1)
    still = Found(corners, np.zeros((len(corners), 1)), np.zeros((len(corners), 1, 1)), np.zeros((len(corners), 2)))
    assert heat_map(still, page, 1)[40:50, 40:50] == pytest.approx(1.0)
    assert len(peaks(heat_map(still, page, 1))) == 0
    shifts = np.array([50.0, 50.0]) - still.centres
    near = np.abs(shifts).max(1) <= 8
    meeting = Found(corners, still.descriptors, still.restored, np.where(near[:, None], shifts, 0.0))
    heat = heat_map(meeting, page, 1)
    assert peaks(heat).tolist() == [[50, 50]]
    assert share_on_text(heat, page) == (1.0, 400 / 96**2)
    assert on_margins(heat, page) == 0.0
    assert on_margins(heat, Page(page.ink, (Letter("a", 60, 40, 80, 60),))) == 1.0
