"""What learns a hand's pose from the windows and descriptors of one auto-encoder.

hand_windows pictures of hands alone -> windows to learn from
rows         windows files -> what is known of the hand in each; what is no hand
keypoints    a hand in detail -> 21 keypoints in space, and in the palm's own frame
networks     what is seen of a hand -> joints, fingertips, side, length, and how far off each may be
settings     how it is trained
training     the loss and the loop
spread       how far off estimates are, measured on people who were not trained on
evaluation   the measures of the documentation
folder       into a model folder, and out of it
"""
