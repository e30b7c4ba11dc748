"""Settings: `base` holds what every deployment shares; `local`, `test` and `production` build on it."""
