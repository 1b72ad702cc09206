"""Image properties that a guest is made by. Source: Glance's "Useful image properties"."""


def is_true(properties: dict[str, str], name: str) -> bool:
    """Whether a property that is a truth value is set, in any of the words that OpenStack takes for it."""
    return properties.get(name, "").strip().lower() in ("yes", "true", "1", "on", "y", "t")
