"""Keystone's configuration, from our settings. Does not import Keystone."""

from pathlib import Path

from infra.embedded import ini
from infra.embedded.common import LOG_LEVELS, database
from infra.settings import Settings

KEYS_KEPT = 5
"""Token keys in the repository, as many as `kilonova keys rotate-tokens` keeps, the staged one included."""


def folder(settings: Settings) -> Path:
    return settings.state_dir.absolute() / "keystone"


def write(settings: Settings) -> None:
    """STATE/keystone/keystone.conf, mode 0600: the database's URL may hold a password."""
    keys = settings.state_dir.absolute() / "keys"
    ini.write(
        folder(settings) / "keystone.conf",
        {
            "DEFAULT": {
                "public_endpoint": settings.url("identity"),
                "use_stderr": True,
                "default_log_levels": LOG_LEVELS,
                "list_limit": 5000,
            },
            "database": database("keystone", settings),
            "cache": {"enabled": True, "backend": "dogpile.cache.memory", "backend_argument": "seconds:300"},
            "token": {"provider": "fernet", "expiration": settings.token_ttl_s},
            "fernet_tokens": {"key_repository": keys / "fernet", "max_active_keys": KEYS_KEPT},
            "fernet_receipts": {"key_repository": keys / "receipts"},
            "credential": {"key_repository": keys / "credentials", "user_limit": 20},
            "application_credential": {"user_limit": 50},
            # 2^10 rounds: OWASP's least for bcrypt, some 60 ms; the cloud's own passwords are 144 random bits.
            "identity": {"password_hash_algorithm": "bcrypt_sha256", "password_hash_rounds": 10},
            "security_compliance": {"lockout_failure_attempts": 10, "lockout_duration": 30},
            "oslo_policy": {"policy_file": settings.state_dir.absolute() / "policy" / "identity.yaml"},
            "oslo_middleware": {"max_request_body_size": 112 * 1024},
        },
    )
