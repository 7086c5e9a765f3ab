"""Robot hands in MuJoCo, and how well they imitate; nothing here is learnt."""
