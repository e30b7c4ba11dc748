"""Other projects' suites on our engines: `make upstream`. Their sources are downloaded, and stay out of here."""
