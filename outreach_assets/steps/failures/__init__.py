"""Bad rows on their way to the people who mend them, and back."""
