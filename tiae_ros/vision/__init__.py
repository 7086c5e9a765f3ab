"""From a camera frame to the windows that the models see; numpy and OpenCV, no ROS.

    labels         what a labelled frame says of each pixel
    detection/     colour + depth -> hands with their windows, and labels: 0 none, 1 hand, 2 held object
    segmentation/  colour + depth -> labels alone
    sight          what both say of a picture
    find_windows   labels + depth -> square windows of a fixed metric size
    cut_windows    what lies in a window: masks and depth
    window         a window, and the way from it back to the picture
    position       pixel + depth -> metres in the optical frame
    masks, arm_axis   shapes of masks; which end of an arm is the hand

Conventions: pixel centres lie at integer coordinates, x to the right, y down; depth is z-depth in
metres, float32, NaN where there is no reading; colour is rgb uint8.
"""
