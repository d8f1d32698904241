"""What other programs are given of a fleet: its components with their findings, in formats that they read."""
