"""One module per group of tables, used by the API and by steps alike. None takes an HTTP call."""
