"""Glance's configuration, from our settings. Does not import Glance."""

from pathlib import Path

from infra import credentials
from infra.embedded import ini
from infra.embedded.common import LOG_LEVELS, database
from infra.settings import Settings

GIB = 2**30
CHUNK = 2**20
"""Bytes that an upload or a download moves at a time; Glance's own 65,536 cost an upload a fifth more CPU."""
PIPELINE = "cors http_proxy_to_wsgi versionnegotiation authtoken context rootapp"
PASTE = {
    "composite:glance-api-keystone": {"paste.composite_factory": "glance.api:root_app_factory", "/": "api"},
    "composite:api": {"paste.composite_factory": "glance.api:pipeline_factory", "keystone": PIPELINE},
    "composite:rootapp": {
        "paste.composite_factory": "glance.api:root_app_factory",
        "/": "apiversions",
        "/v2": "apiv2app",
    },
    "app:apiversions": {"paste.app_factory": "glance.api.versions:create_resource"},
    "app:apiv2app": {"paste.app_factory": "glance.api.v2.router:API.factory"},
    "filter:versionnegotiation": {
        "paste.filter_factory": "glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory"
    },
    "filter:context": {"paste.filter_factory": "glance.api.middleware.context:ContextMiddleware.factory"},
    "filter:authtoken": {
        "paste.filter_factory": "keystonemiddleware.auth_token:filter_factory",
        "delay_auth_decision": "true",
    },
    "filter:cors": {
        "paste.filter_factory": "oslo_middleware.cors:filter_factory",
        "oslo_config_project": "glance",
        "oslo_config_program": "glance-api",
    },
    "filter:http_proxy_to_wsgi": {"paste.filter_factory": "oslo_middleware:HTTPProxyToWSGI.factory"},
}


def folder(settings: Settings) -> Path:
    return settings.state_dir.absolute() / "glance"


def write(settings: Settings) -> None:
    """STATE/glance/glance-api.conf and glance-api-paste.ini, mode 0600: the first holds the service's password."""
    here, state = folder(settings), settings.state_dir.absolute()
    ini.write(here / "glance-api-paste.ini", PASTE)
    ini.write(
        here / "glance-api.conf",
        {
            "DEFAULT": {
                "enabled_backends": "file:file",
                "enabled_import_methods": "[glance-direct,web-download]",
                "worker_self_reference_url": settings.url("image"),
                "public_endpoint": settings.url("image"),
                "use_stderr": True,
                "default_log_levels": LOG_LEVELS,
                "image_size_cap": settings.image_max_gib * GIB,
                "user_storage_quota": f"{settings.image_quota_gib}GB",
                "image_member_quota": 128,
                "image_property_quota": 128,
                "image_tag_quota": 128,
                "image_location_quota": 10,
                "lock_path": here / "lock",
            },
            "database": database("glance", settings),
            "paste_deploy": {"flavor": "keystone", "config_file": here / "glance-api-paste.ini"},
            "keystone_authtoken": {
                "auth_type": "password",
                "auth_url": settings.identity_url,
                "www_authenticate_uri": settings.identity_url,
                "username": settings.service_username or "glance",
                "password": settings.service_password.get_secret_value()
                or credentials.load(settings.state_dir).get("glance", ""),
                "project_name": settings.service_project,
                "user_domain_id": "default",
                "project_domain_id": "default",
                "region_name": settings.region,
                "interface": "internal",
                "service_token_roles": "service",
                "service_token_roles_required": True,
                "cache": "kilonova.tokens",
                "token_cache_time": max(1, round(settings.token_cache_s)),
            },
            "glance_store": {"default_backend": "file"},
            "file": {
                "filesystem_store_datadir": state / "images",
                "filesystem_store_file_perm": 600,
                "filesystem_store_chunk_size": CHUNK,
            },
            "os_glance_staging_store": {"filesystem_store_datadir": here / "staging"},
            "os_glance_tasks_store": {"filesystem_store_datadir": here / "tasks"},
            "image_format": {"disk_formats": "raw,qcow2", "container_formats": "bare"},
            "import_filtering_opts": {"allowed_schemes": "[http,https]", "allowed_ports": "[80,443]"},
            "taskflow_executor": {"engine_mode": "serial", "max_workers": 2, "conversion_format": "qcow2"},
            "key_manager": {"backend": "kilonova"},
            "image_certificates": {
                "directory": settings.image_certificates.absolute() if settings.image_certificates else ""
            },
            "oslo_policy": {"policy_file": here / "policy.yaml"},
            "oslo_middleware": {"max_request_body_size": 112 * 1024},
        },
    )
