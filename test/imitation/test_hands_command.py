"""`tiae imitate hands`."""

from __future__ import annotations

import pytest

from tiae_ros.cli import main
from tiae_ros.imitation.hand_files import find_hand

pytestmark = pytest.mark.timeout(60)


def test_the_list(capsys):
    assert main(["imitate", "hands"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["adroit", "allegro", "inspire", "leap", "shadow"]
    assert "6 joints (+6 coupled), thumb, index, middle, ring, little" in lines[2]


def test_one_hand(capsys):
    assert main(["imitate", "hands", "shadow", "--side", "left"]) == 0
    text = capsys.readouterr().out
    assert "lh_FFJ4" in text
    assert "-1 × index_mcp_abduction" in text
    assert "index_dip_flexion, never above lh_FFJ2" in text
    assert "accel*" in text


def test_the_template_can_be_filled_in(capsys, tmp_path):
    assert main(["imitate", "hands", "template"]) == 0
    mine = tmp_path / "my_hand.yaml"
    mine.write_text(capsys.readouterr().out)
    assert main(["imitate", "hands", "--check", str(mine)]) == 0
    assert "warning" not in capsys.readouterr().out
    assert main(["imitate", "hands", "--check", str(mine), "--side", "left"]) == 0
    assert "base link left_palm" in capsys.readouterr().out
    text = mine.read_text()
    mine.write_text(text.replace("human: index_mcp_flexion", "").replace("{joint: right_thumb_turn, ", "{").replace(
        "axis: [0, 0, -1]}\n", "}\n", 1).replace("rest: {right_thumb_turn: 0.0}", ""))  # fmt: skip
    assert main(["imitate", "hands", "--check", str(mine)]) == 0
    assert "warning: right_thumb_turn stays in the rest pose: it is in no" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--side", "left"], "--side left cannot be used here, the list has no side; give HAND or --check FILE.yaml"),
        (["template", "--side", "right"], "--side right cannot be used here, the template is a right hand; give"),
        (["--check", "shadow"], "--check 'shadow' cannot be used; give a file that ends in .yaml or .yml"),
        (["--check", ""], "--check '' cannot be used"),
        (["--check", "~nouser/x.yaml"], "~nouser/x.yaml cannot be the file of a hand"),
    ],
)
def test_what_is_refused(capsys, arguments, line):
    assert main(["imitate", "hands", *arguments]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert line in said


def test_a_check_of_your_own(capsys, tmp_path):
    text = find_hand("shadow").with_name("template.yaml").read_text("utf-8")
    mine = tmp_path / "mine.yaml"
    mine.write_text(text)
    assert main(["imitate", "hands", "--check", str(mine)]) == 0
    assert f"{mine}: good, as right and as left hand" in capsys.readouterr().out
    mine.write_text(text.replace("upper: 1.3", "upper: 130"))
    assert main(["imitate", "hands", "--check", str(mine)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"tiae imitate hands: error: {mine}: joints.right_thumb_turn.upper is 130: it must be within"
    )
    assert main(["imitate", "hands", "shdow"]) == 2
    assert "one of the shipped hands: adroit" in capsys.readouterr().err
