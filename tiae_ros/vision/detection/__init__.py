"""Hands in a picture by two looks: proposals over the whole picture, then each close up."""
