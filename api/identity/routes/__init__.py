"""Routes of the identity API, by resource."""
