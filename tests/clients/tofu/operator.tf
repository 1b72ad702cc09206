# What an operator makes: flavors, an external network, an aggregate, a volume type, a project with a user and quotas.
resource "openstack_compute_flavor_v2" "small" {
  provider    = openstack.operator
  name        = "tofu-small"
  description = local.note
  ram         = var.image_ram
  vcpus       = 1
  disk        = 1
  is_public   = true
  extra_specs = { "hw:cpu_sockets" = var.changed ? "2" : "1" }
}

resource "openstack_compute_flavor_v2" "larger" {
  provider  = openstack.operator
  name      = "tofu-larger"
  ram       = var.image_ram + 64
  vcpus     = 2
  disk      = 2
  is_public = true
}

resource "openstack_compute_flavor_v2" "private" {
  provider  = openstack.operator
  name      = "tofu-private"
  ram       = var.image_ram
  vcpus     = 1
  disk      = 1
  is_public = false
}

resource "openstack_compute_flavor_access_v2" "private" {
  provider  = openstack.operator
  flavor_id = openstack_compute_flavor_v2.private.id
  tenant_id = openstack_identity_project_v3.team.id
}

resource "openstack_compute_aggregate_v2" "ssd" {
  provider = openstack.operator
  name     = "tofu-ssd${local.suffix}"
  metadata = { ssd = tostring(var.changed) }
}

resource "openstack_networking_network_v2" "outside" {
  provider       = openstack.operator
  name           = "tofu-outside"
  description    = local.note
  external       = true
  admin_state_up = true
  segments {
    physical_network = "provider"
    network_type     = "flat"
  }
}

resource "openstack_networking_subnet_v2" "outside" {
  provider    = openstack.operator
  name        = "tofu-outside"
  network_id  = openstack_networking_network_v2.outside.id
  cidr        = "192.168.56.0/24"
  gateway_ip  = "192.168.56.2"
  enable_dhcp = false
  allocation_pool {
    start = "192.168.56.100"
    end   = "192.168.56.200"
  }
}

resource "openstack_blockstorage_volume_type_v3" "fast" {
  provider    = openstack.operator
  name        = "tofu-fast"
  description = local.note
  is_public   = true
  extra_specs = { multiattach = "<is> True" }
}

resource "openstack_blockstorage_volume_type_v3" "private" {
  provider  = openstack.operator
  name      = "tofu-private"
  is_public = false
}

resource "openstack_blockstorage_volume_type_access_v3" "private" {
  provider       = openstack.operator
  volume_type_id = openstack_blockstorage_volume_type_v3.private.id
  project_id     = openstack_identity_project_v3.team.id
}

resource "openstack_identity_project_v3" "team" {
  provider    = openstack.operator
  name        = "tofu-team${local.suffix}"
  description = local.note
  tags        = local.tags
}

resource "openstack_identity_user_v3" "member" {
  provider           = openstack.operator
  name               = "tofu-member${local.suffix}"
  description        = local.note
  default_project_id = openstack_identity_project_v3.team.id
  password           = "only-for-this-test"
}

resource "openstack_identity_group_v3" "crew" {
  provider    = openstack.operator
  name        = "tofu-crew${local.suffix}"
  description = local.note
}

resource "openstack_identity_user_membership_v3" "member" {
  provider = openstack.operator
  user_id  = openstack_identity_user_v3.member.id
  group_id = openstack_identity_group_v3.crew.id
}

resource "openstack_identity_role_v3" "keeper" {
  provider = openstack.operator
  name     = "tofu-keeper${local.suffix}"
}

resource "openstack_identity_role_assignment_v3" "member" {
  provider   = openstack.operator
  user_id    = openstack_identity_user_v3.member.id
  project_id = openstack_identity_project_v3.team.id
  role_id    = openstack_identity_role_v3.keeper.id
}

resource "openstack_identity_service_v3" "extra" {
  provider    = openstack.operator
  name        = "tofu-extra${local.suffix}"
  type        = "tofu-extra"
  description = local.note
}

resource "openstack_identity_endpoint_v3" "extra" {
  provider        = openstack.operator
  name            = "tofu-extra${local.suffix}"
  service_id      = openstack_identity_service_v3.extra.id
  endpoint_region = "RegionOne"
  url             = "http://127.0.0.1:9/${local.suffix}"
}

resource "openstack_compute_quotaset_v2" "team" {
  provider             = openstack.operator
  project_id           = openstack_identity_project_v3.team.id
  instances            = var.changed ? 21 : 20
  cores                = 32
  ram                  = 40960
  key_pairs            = 10
  server_groups        = 4
  server_group_members = 8
}

resource "openstack_networking_quota_v2" "team" {
  provider            = openstack.operator
  project_id          = openstack_identity_project_v3.team.id
  floatingip          = var.changed ? 11 : 10
  network             = 4
  port                = 100
  rbac_policy         = 10
  router              = 4
  security_group      = 10
  security_group_rule = 100
  subnet              = 8
  subnetpool          = 2
}

resource "openstack_blockstorage_quotaset_v3" "team" {
  provider             = openstack.operator
  project_id           = openstack_identity_project_v3.team.id
  volumes              = var.changed ? 11 : 10
  snapshots            = 4
  gigabytes            = 100
  per_volume_gigabytes = 10
  backups              = 4
  backup_gigabytes     = 10
  groups               = 100
}
