"""Training what finds hands in a frame.

frames         labelled frames on disk
augmentation   a frame as another camera would have seen it
settings, loss, training
evaluation     intersection over union; frames that deceive a network
quantization   8-bit graphs
folder         model folders
"""
