"""profile-my-data: what is in a file, how good it is, how it has drifted from another."""
