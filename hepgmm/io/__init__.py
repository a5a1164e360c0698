"""Files: whole or absent, kept under the digest of what made them, or of tracks."""
