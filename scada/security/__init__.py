"""SM2/SM3/SM4, identities, envelope, sessions, roles, audit log."""
