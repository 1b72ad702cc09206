# A tenant's network: two families of addresses, a router to the outside, floating addresses, ports, groups and rules.
resource "openstack_networking_network_v2" "inside" {
  name           = "tofu-inside${local.suffix}"
  description    = local.note
  admin_state_up = true
  tags           = local.tags
}

resource "openstack_networking_subnet_v2" "four" {
  name            = "tofu-four${local.suffix}"
  description     = local.note
  network_id      = openstack_networking_network_v2.inside.id
  cidr            = "10.40.0.0/24"
  ip_version      = 4
  dns_nameservers = var.changed ? ["9.9.9.9", "8.8.8.8"] : ["8.8.8.8"]
  tags            = local.tags
  allocation_pool {
    start = "10.40.0.10"
    end   = var.changed ? "10.40.0.220" : "10.40.0.200"
  }
}

resource "openstack_networking_subnet_v2" "six" {
  name              = "tofu-six"
  network_id        = openstack_networking_network_v2.inside.id
  cidr              = "fd00:40::/64"
  ip_version        = 6
  ipv6_address_mode = "slaac"
  ipv6_ra_mode      = "slaac"
}

resource "openstack_networking_network_v2" "second" {
  name                  = "tofu-second"
  port_security_enabled = false
  mtu                   = 1400
}

resource "openstack_networking_addressscope_v2" "scope" {
  name       = "tofu-scope${local.suffix}"
  ip_version = 4
}

resource "openstack_networking_subnetpool_v2" "pool" {
  name              = "tofu-pool${local.suffix}"
  description       = local.note
  prefixes          = ["10.41.0.0/16"]
  default_prefixlen = 24
  min_prefixlen     = 20
  max_prefixlen     = var.changed ? 29 : 28
  address_scope_id  = openstack_networking_addressscope_v2.scope.id
  tags              = local.tags
}

resource "openstack_networking_subnet_v2" "pooled" {
  name          = "tofu-pooled"
  network_id    = openstack_networking_network_v2.second.id
  subnetpool_id = openstack_networking_subnetpool_v2.pool.id
  prefix_length = 25
  ip_version    = 4
  no_gateway    = true
}

resource "openstack_networking_router_v2" "router" {
  name                = "tofu-router${local.suffix}"
  description         = local.note
  admin_state_up      = true
  external_network_id = openstack_networking_network_v2.outside.id
  tags                = local.tags
  depends_on          = [openstack_networking_subnet_v2.outside]
}

resource "openstack_networking_router_interface_v2" "four" {
  router_id = openstack_networking_router_v2.router.id
  subnet_id = openstack_networking_subnet_v2.four.id
}

resource "openstack_networking_router_routes_v2" "routes" {
  router_id = openstack_networking_router_interface_v2.four.router_id
  dynamic "routes" {
    for_each = var.changed ? ["10.90.0.0/24", "10.91.0.0/24"] : ["10.90.0.0/24"]
    content {
      destination_cidr = routes.value
      next_hop         = "10.40.0.254"
    }
  }
}

resource "openstack_networking_secgroup_v2" "web" {
  name        = "tofu-web${local.suffix}"
  description = local.note
  tags        = local.tags
}

resource "openstack_networking_secgroup_v2" "bare" {
  name                 = "tofu-bare"
  delete_default_rules = true
}

resource "openstack_networking_address_group_v2" "offices" {
  name        = "tofu-offices${local.suffix}"
  description = local.note
  addresses   = var.changed ? ["192.0.2.0/24", "198.51.100.7/32"] : ["192.0.2.0/24"]
}

resource "openstack_networking_secgroup_rule_v2" "ssh" {
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "tcp"
  port_range_min    = 22
  port_range_max    = 22
  remote_ip_prefix  = "0.0.0.0/0"
  security_group_id = openstack_networking_secgroup_v2.web.id
}

resource "openstack_networking_secgroup_rule_v2" "ping" {
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "icmp"
  port_range_min    = 8
  port_range_max    = 0
  security_group_id = openstack_networking_secgroup_v2.web.id
}

resource "openstack_networking_secgroup_rule_v2" "neighbours" {
  direction         = "ingress"
  ethertype         = "IPv6"
  protocol          = "udp"
  remote_group_id   = openstack_networking_secgroup_v2.web.id
  security_group_id = openstack_networking_secgroup_v2.web.id
  description       = "any port"
}

resource "openstack_networking_secgroup_rule_v2" "offices" {
  direction               = "ingress"
  ethertype               = "IPv4"
  protocol                = "tcp"
  port_range_min          = 443
  port_range_max          = 443
  remote_address_group_id = openstack_networking_address_group_v2.offices.id
  security_group_id       = openstack_networking_secgroup_v2.web.id
}

resource "openstack_networking_qos_policy_v2" "slow" {
  provider    = openstack.operator
  name        = "tofu-slow${local.suffix}"
  description = local.note
  shared      = true
}

resource "openstack_networking_qos_bandwidth_limit_rule_v2" "slow" {
  provider       = openstack.operator
  qos_policy_id  = openstack_networking_qos_policy_v2.slow.id
  max_kbps       = var.changed ? 4000 : 3000
  max_burst_kbps = 300
  direction      = "egress"
}

resource "openstack_networking_port_v2" "eth0" {
  name               = "tofu-eth0${local.suffix}"
  description        = local.note
  network_id         = openstack_networking_network_v2.inside.id
  admin_state_up     = true
  security_group_ids = concat([openstack_networking_secgroup_v2.web.id], var.changed ? [openstack_networking_secgroup_v2.bare.id] : [])
  qos_policy_id      = openstack_networking_qos_policy_v2.slow.id
  tags               = local.tags
  fixed_ip {
    subnet_id  = openstack_networking_subnet_v2.four.id
    ip_address = "10.40.0.50"
  }
  fixed_ip {
    subnet_id = openstack_networking_subnet_v2.six.id
  }
  allowed_address_pairs {
    ip_address = var.changed ? "10.40.0.252" : "10.40.0.251"
  }
}

resource "openstack_networking_port_v2" "eth1" {
  name                  = "tofu-eth1"
  network_id            = openstack_networking_network_v2.second.id
  port_security_enabled = false
  no_security_groups    = true
  depends_on            = [openstack_networking_subnet_v2.pooled]
}

# Neutron forwards ports only to a port without a floating address of its own.
resource "openstack_networking_port_v2" "behind" {
  name       = "tofu-behind"
  network_id = openstack_networking_network_v2.inside.id
  fixed_ip {
    subnet_id  = openstack_networking_subnet_v2.four.id
    ip_address = "10.40.0.70"
  }
}

resource "openstack_networking_port_v2" "bare" {
  name               = "tofu-bare"
  network_id         = openstack_networking_network_v2.inside.id
  no_security_groups = true
  no_fixed_ip        = true
}

resource "openstack_networking_port_v2" "subport" {
  name       = "tofu-subport"
  network_id = openstack_networking_network_v2.second.id
  depends_on = [openstack_networking_subnet_v2.pooled]
}

resource "openstack_networking_trunk_v2" "trunk" {
  name           = "tofu-trunk${local.suffix}"
  description    = local.note
  admin_state_up = true
  port_id        = openstack_networking_port_v2.bare.id
  tags           = local.tags
  sub_port {
    port_id           = openstack_networking_port_v2.subport.id
    segmentation_id   = 7
    segmentation_type = "vlan"
  }
}

resource "openstack_networking_rbac_policy_v2" "lent" {
  action        = "access_as_shared"
  object_id     = openstack_networking_network_v2.second.id
  object_type   = "network"
  target_tenant = openstack_identity_project_v3.team.id
}

resource "openstack_networking_floatingip_v2" "front" {
  pool        = openstack_networking_network_v2.outside.name
  description = local.note
  tags        = local.tags
  depends_on  = [openstack_networking_subnet_v2.outside]
}

resource "openstack_networking_floatingip_associate_v2" "front" {
  floating_ip = openstack_networking_floatingip_v2.front.address
  port_id     = openstack_networking_port_v2.eth0.id
  fixed_ip    = "10.40.0.50"
  depends_on  = [openstack_networking_router_interface_v2.four]
}

resource "openstack_networking_floatingip_v2" "doors" {
  pool       = openstack_networking_network_v2.outside.name
  depends_on = [openstack_networking_subnet_v2.outside]
}

resource "openstack_networking_portforwarding_v2" "ssh" {
  floatingip_id       = openstack_networking_floatingip_v2.doors.id
  external_port       = var.changed ? 2223 : 2222
  internal_port       = 22
  internal_port_id    = openstack_networking_port_v2.behind.id
  internal_ip_address = "10.40.0.70"
  protocol            = "tcp"
  depends_on          = [openstack_networking_router_interface_v2.four]
}
