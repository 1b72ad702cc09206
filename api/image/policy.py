"""Default rules of the image service, under Glance's names; STATE/policy/image.yaml overrides them."""

OWNER = "rule:admin_or_service or (role:member and rule:owner)"

RULES = {
    "sees_all_images": "rule:admin_or_service",
    "acts_for_other_projects": "rule:admin_or_service",
    "get_image": "rule:any",
    "get_images": "rule:any",
    "download_image": "rule:any",
    "download_deactivated_image": "rule:admin_required",
    "add_image": "rule:admin_or_service or role:member",
    "modify_image": OWNER,
    "upload_image": OWNER,
    "delete_image": OWNER,
    "publicize_image": "rule:admin_required",
    "communitize_image": OWNER,
    "deactivate": "rule:admin_required",
    "reactivate": "rule:admin_required",
    "get_members": "rule:any",
    "add_member": OWNER,
    "delete_member": OWNER,
    "modify_member": "rule:admin_required or role:member",
}
