"""Bodies that the identity API accepts, by resource."""
