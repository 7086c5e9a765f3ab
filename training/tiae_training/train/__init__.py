"""Training an auto-encoder.

settings      every knob, checked before anything is spent
run           a training from data to model folder: attempts, checkpoints, what is saved
trainer       an epoch, a step, the terms of the objective
folder        the folder of a run: whose it is, what may be in it
checks        data and batches that can be trained on
checkpoint    the state of an unfinished training
collapse      seeing that a network restores one picture for all
early_stop    ending when nothing gets better
distributed   several processes that share every batch
precision     reduced precision and threads
"""
