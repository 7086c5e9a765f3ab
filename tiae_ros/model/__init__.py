"""A model folder and what it can do; numpy and ONNX Runtime, no torch, no ROS.

manifest      what a model says of itself
folder        a model on disk: read whole and checked, written whole
onnx_file     what an ONNX file may hold
engines/      what runs its graphs: ONNX Runtime, or on a GPU without it plain PyTorch
devices       a device's name -> the engine and the device
shipped       the name of a shipped model -> its folder
autoencoder   encode, decode, restore, estimate_shift, place, label
naming        which name a descriptor gets, by the prototypes around it
ambiguity     whether an angle is sure, may be half a turn off, or means nothing
pattern_poses angle, scale and mirroring of patterns, as far as they are sure
segmenter     what finds hands, by its name; a segmentation network: hand, held object, or neither
hand_detector a detector of two looks
hand_pose     a window and its descriptor -> joints and fingertips of the hand, and their spread
shifts        the convention of shifts; whole shifts and the best of them
"""
