"""What a collector is, in one archive; and back again."""
