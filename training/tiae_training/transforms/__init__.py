"""The kinds of transforms an auto-encoder can be made invariant to, behind one interface. One file per kind.

ranges        the list of kinds and how far each goes
transform     the interface, and the kind that changes nothing (an ordinary auto-encoder)
shift, similarity                         kinds that move the pattern; their best parameter is searched
roll          turns in the plane that what is restored follows
background, clutter, blur, gain           kinds that change what is seen of it
composition   several kinds at once
build         a list of names -> the transform
shifts, poses conventions, and the mathematics of moving windows
"""
