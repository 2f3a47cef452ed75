"""Looking after what was published: fetch, verify, restore, prune."""
