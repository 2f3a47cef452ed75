"""What each source table is: its columns, its key, and the rules its rows are judged by."""
