"""The networks: the slides' two references, and one modern family whose parts a configuration chooses.

Every network has the same doors, all batched over N windows (N, C, S, S):

    forward_encoder(images) -> descriptors (N, K), shifts (N, 2)     E(I) and R(I); poses (N, 4 or 5) where it has them
    encode_all(images)      -> these, and how sure an angle is       what training needs besides
    decode(descriptors)     -> restored (N, C, S, S)                 D(E(I))

The output is linear: a sigmoid in front of a sum of squares starts by driving sparse windows to black, where its
gradient vanishes and training stays (measured: two of two seeds). The model's doors clamp to 0..1.

    network         what all have in common
    config          the parts of a network, and the named choices of them
    pattern         the modern family: find the pattern, look at it where it is, describe it, restore it
    centre_votes    where a pattern lies
    pose_votes      also how it is turned, how large it is, and whether it is mirrored
    steering        descriptors of which two numbers say how a pattern is turned, and all others do not change with it
    angle_shares    what is said of an angle, as shares of bins around the circle
    layers          trunk, decoder, linear path
    slide           the slides' networks
    segmentation    the U-Net that finds hands in a frame
"""
