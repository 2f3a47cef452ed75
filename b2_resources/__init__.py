"""Bytes under keys, wherever they are kept: a folder, Backblaze B2, or both."""
