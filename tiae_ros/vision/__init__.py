"""From a camera frame to the window that the models see; numpy and OpenCV, no ROS.

    image_decoding   message fields -> arrays (rgb, metres)
    segmentation     colour + depth -> labels: 0 none, 1 hand, 2 held object; by a network: segmentation_network;
                     segmentation_choice says which
    window           labels + depth -> square windows of a fixed metric size, and back
    position         pixel + depth -> metres in the optical frame

Conventions: pixel centres lie at integer coordinates, x to the right, y down; depth is z-depth in
metres, float32, NaN where there is no reading; colour is rgb uint8.
"""
