"""The training package (installed as `tiae_training`): data, simulator, training, measures."""
