"""A wider world than the simulator's: people with skinned hands, any thing, room and camera (needs the extra `sim`)."""
