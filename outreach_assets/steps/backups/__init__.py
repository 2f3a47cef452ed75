"""Folders into several places by policy; rclone moves the bytes."""
