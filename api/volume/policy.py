"""Default rules of the volume service, under Cinder's names; STATE/policy/volume.yaml overrides them.

`writer` is Cinder's system_admin_or_project_member: who only reads (role `reader`) changes nothing.
A compute host makes, attaches, detaches and deletes volumes, and does nothing else: a stolen host's credential is no
operator's."""

READ = "rule:admin_service_or_owner"
WRITE = "rule:writer"
ATTACH = "rule:attacher"
MEMBER = "rule:operator or role:member"
MAKE = "rule:admin_or_service or role:member"
OPERATE = "rule:operator"
ADMIN = "rule:admin_required"

RULES = {
    "operator": "rule:admin_or_service_user",
    "writer": "rule:operator or (role:member and rule:owner)",
    "attacher": "rule:admin_or_service or (role:member and rule:owner)",
    "volume:create": MAKE,
    "volume:get": READ,
    "volume:get_all_projects": OPERATE,
    "volume:create_for_project": "rule:admin_or_service",
    "volume:update": WRITE,
    "volume:delete": ATTACH,
    "volume:force_delete": OPERATE,
    "volume:extend": WRITE,
    "volume:extend_attached_volume": WRITE,
    "volume:retype": WRITE,
    "volume:revert_to_snapshot": WRITE,
    "volume:reimage": WRITE,
    "volume:reset_status": OPERATE,
    "volume:multiattach": MAKE,
    "volume:host_attributes": ADMIN,
    "volume:create_snapshot": WRITE,
    "volume:get_snapshot": READ,
    "volume:update_snapshot": WRITE,
    "volume:delete_snapshot": WRITE,
    "volume:update_metadata": WRITE,
    "volume:attachment_create": ATTACH,
    "volume:attachment_update": ATTACH,
    "volume:attachment_delete": ATTACH,
    "volume:attachment_of_server": "rule:admin_or_service",
    "volume:create_transfer": WRITE,
    "volume:get_transfer": READ,
    "volume:delete_transfer": WRITE,
    "volume:accept_transfer": MEMBER,
    "volume:get_default_type": ADMIN,
    "volume:set_default_type": ADMIN,
    "volume_extension:volume_actions:attach": WRITE,
    "volume_extension:volume_actions:detach": WRITE,
    "volume_extension:volume_admin_actions:force_detach": OPERATE,
    "volume_extension:volume_actions:reserve": WRITE,
    "volume_extension:volume_actions:initialize_connection": WRITE,
    "volume_extension:volume_actions:terminate_connection": WRITE,
    "volume_extension:volume_actions:upload_image": WRITE,
    "volume_extension:volume_actions:upload_public": ADMIN,
    "volume_extension:volume_image_metadata:set": WRITE,
    "volume_extension:snapshot_admin_actions:update_status": OPERATE,
    "volume_extension:quotas:show": READ,
    "volume_extension:quotas:update": ADMIN,
    "volume_extension:quota_classes": ADMIN,
    "volume_extension:services:index": ADMIN,
    "volume_extension:hosts": ADMIN,
    "volume_extension:capabilities": ADMIN,
    "volume_extension:qos_specs_manage:get_all": ADMIN,
    "volume_extension:types_manage": ADMIN,
    "volume_extension:types_extra_specs:read_sensitive": ADMIN,
    "volume_extension:volume_type_access": ADMIN,
    "volume_extension:volume_type_encryption": ADMIN,
    "clusters:get_all": ADMIN,
    "message:delete": MEMBER,
    "scheduler_extension:scheduler_stats:get_pools": ADMIN,
}
