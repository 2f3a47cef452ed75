"""What every command ends with. 0 is done; 2, wrong usage or settings, is main.py's."""

FAILED = 1
PARTLY = 3
"""Done, but for some states, files or destinations."""
