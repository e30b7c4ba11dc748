"""How often somebody may fail to sign in, or call the API. docs/decisions/0028 says what counts, and where."""
