"""Which pixels are a hand, and which the thing it holds.

settings    limits of sizes and depths, and the least confidence
classical/  by colour and depth alone, nothing learned; by explicit choice only

What ships finds hands by two looks (`tiae_ros.vision.detection`).
"""
