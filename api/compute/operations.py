"""Operations on servers as workflows: start them, and learn what Temporal says. The API's only door to Temporal."""
