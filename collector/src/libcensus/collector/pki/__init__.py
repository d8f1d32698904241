"""Who may speak: the certificate authority, join tokens, certificates and their revocation."""
