"""Labels that flicker: hands stay hands, and window and detail change alike."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training needs torch, which is not installed")

import torch
from torch.nn import functional as F

from tiae_training.imitation import flicker
from tiae_training.imitation.flicker import flickered
from tiae_training.imitation.seeing import no_details

pytestmark = pytest.mark.timeout(120)


def hands(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A bar of 12 × 20 window pixels with a thing of 6 × 6 at its end, and the same in detail."""
    fine = torch.zeros(count, 3, 80, 80, dtype=torch.uint8)
    fine[:, 0, 24:56, 13:51] = 255
    fine[:, 1, 32:48, 51:67] = 255
    fine[:, 2] = (fine[:, 0] > 0) * 130 + (fine[:, 1] > 0) * 120
    windows = F.interpolate(fine.float() / 255, size=(30, 30), mode="area")
    return F.pad(windows, (1, 1, 1, 1)), fine


def test_outlines_move_by_less_than_two_pixels_of_a_detail(monkeypatch):
    monkeypatch.setattr(flicker, "_HELD", 0.0)
    monkeypatch.setattr(flicker, "_BESIDE", 0.0)
    monkeypatch.setattr(flicker, "_LOST", 0.0)
    windows, fine = hands(64)
    coarse, moved = flickered(windows, fine, torch.Generator().manual_seed(1))
    assert coarse.shape == windows.shape
    assert (moved.shape, moved.dtype) == (fine.shape, torch.uint8)
    changed = (moved[:, 0] > 127) != (fine[:, 0] > 127)
    outline = 2 * (32 + 38)
    assert 0.1 < float(changed.sum((1, 2)).float().mean()) / outline < 0.6  # real ones: .25 to .6
    far = F.max_pool2d(-fine[:, :1].float(), 5, 1, 2) == -255  # well inside
    assert not changed[far[:, 0]].any()


@pytest.mark.parametrize("kind", ["_HELD", "_BESIDE", "_LOST"])
def test_a_patch_changes_its_class_in_window_and_detail(monkeypatch, kind):
    for name in ("_HELD", "_BESIDE", "_LOST"):
        monkeypatch.setattr(flicker, name, float(name == kind))
    windows, fine = hands(64)
    coarse, moved = flickered(windows, fine, torch.Generator().manual_seed(2))
    for before, after in ((windows, coarse), (fine.float() / 255, moved.float() / 255)):
        hand, thing = ((after - before)[:, n].sum((1, 2)) for n in (0, 1))
        pixels = float(before[0, 0].sum())
        patch = {"_HELD": -hand, "_BESIDE": thing, "_LOST": -hand - thing}[kind] / pixels
        assert 0.02 < float(patch.mean()) < 0.2
        assert float(patch.max()) < 0.4
        if kind == "_HELD":  # what the hand loses the thing gains
            torch.testing.assert_close(-hand, thing, atol=0.08 * pixels, rtol=0)
    lost = (windows[:, 0] - coarse[:, 0]).sum((1, 2)) / windows[0, 0].sum()
    lost_fine = (fine[:, 0] - 1.0 * moved[:, 0]).sum((1, 2)) / fine[0, 0].sum()
    torch.testing.assert_close(lost, lost_fine, atol=0.06, rtol=0)
    assert float(moved[:, 2][moved[:, 1] > 250].float().min()) > 40  # what is a thing now has a depth


def test_windows_alone_and_empty_ones():
    empty = torch.zeros(3, 3, 32, 32)
    coarse, none = flickered(empty, torch.from_numpy(no_details(3)), torch.Generator().manual_seed(0))
    assert none.shape == (3, 0, 0, 0)
    assert torch.isfinite(coarse).all()
    assert float(coarse[:, 0].sum()) == 0
