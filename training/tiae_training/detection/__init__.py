"""Training of the two looks of `tiae_ros.vision.detection`."""
