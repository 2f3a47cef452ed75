"""What starts runs without a clock."""
