"""Settings of the identity service alone, read from `KILONOVA_IDENTITY_*`; times in seconds."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class IdentitySettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="KILONOVA_IDENTITY_", extra="ignore")

    token_ttl_s: int = 3600
    expired_window_s: int = 2 * 24 * 3600  # how long `allow_expired` still answers for a token
    hash_threads: int = 2  # 20 MiB each while they work
    lockout_failures: int = 10  # wrong passwords before an account pauses; 0 never
    lockout_s: int = 30
    max_body_bytes: int = 112 * 1024
