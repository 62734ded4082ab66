"""Speech engines: what a recogniser is, how one is found, and how live audio is brought to it."""
