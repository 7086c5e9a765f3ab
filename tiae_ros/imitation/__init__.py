"""From a human hand to the joints of a robot hand; numpy and YAML, no torch, no ROS.

    human_hand      names, frame and sizes of the human hand that is imitated
    hand_files      the name of a hand -> its YAML, in the source tree or installed
    robot_hand      one robot hand: its YAML, read and checked
    checked_yaml    entries of such a file that name themselves in an error
    fingertips      joint angles -> fingertips, and how they move (forward kinematics)
    joint_to_joint  human joints -> robot joints that turn alike
    retargeting     human fingertips and pinches -> robot joints
    one_euro        a low-pass filter that is slow at rest and quick in motion
    safe_motion     robot joints -> targets within limits of angle, speed and acceleration
    observing       an estimate of the hand pose model -> what the gate takes
    gate            following, holding, unsure, stale or disabled, and why
    imitator        all of it for one frame: what the node calls

Conventions: angles in radians; fingertips in millimetres in the palm frame of a right human hand (x to the fingertips,
y to the thumb side, z out of the back of the hand, origin in the wrist). Left hands are given as their mirror image
(y changes sign), and a left robot hand is described in mirrored space, too.
"""
