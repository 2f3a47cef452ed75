"""What people are told when something is wrong, once for each cause."""
