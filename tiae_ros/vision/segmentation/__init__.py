"""Which pixels are a hand, and which the thing it holds.

planes      a frame -> a grid of cells -> what the network sees of each
network     planes -> class scores -> labels of pixels
regions     which cells of what the network says may count
settings    limits of sizes, depths and certainty
classical/  the same from colour and depth alone, nothing learned; by explicit choice only
"""
