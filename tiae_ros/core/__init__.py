"""The method: transforms, objective, networks, model, model files. Knows nothing of ROS or OpenCV."""
