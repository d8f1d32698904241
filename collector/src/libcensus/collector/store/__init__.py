"""Facts, kept: the contract, and its one implementation on SQLAlchemy for SQLite and PostgreSQL."""
