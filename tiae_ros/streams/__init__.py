"""Where frames come from: messages and bags -> arrays. No ROS.

image_decoding     raw images -> colour, metres
compressed_images  jpeg, png, compressedDepth
other_encodings    Bayer and YUV, by an installed cv_bridge
camera             camera matrices
pairing            messages of several streams -> sets of one moment
bags               recorded bags (rosbag2: mcap, sqlite3)
"""
