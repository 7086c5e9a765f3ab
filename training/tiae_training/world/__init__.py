"""A wider world than the simulator's: people with skinned hands, any thing, any room, any camera (needs the extra `sim`)."""
