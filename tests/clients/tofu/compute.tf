# A tenant's servers and what they need: keys, an image from a file, volumes, a group, attachments.
resource "openstack_compute_keypair_v2" "given" {
  name       = "tofu-given"
  public_key = var.public_key
}

resource "openstack_compute_keypair_v2" "made" {
  name = "tofu-made"
}

resource "openstack_compute_servergroup_v2" "apart" {
  name     = "tofu-apart"
  policies = ["anti-affinity"]
  rules {
    max_server_per_host = 3
  }
}

resource "openstack_images_image_v2" "disk" {
  name             = "tofu-disk"
  local_file_path  = var.image_file
  container_format = "bare"
  disk_format      = "qcow2"
  min_disk_gb      = 1
  min_ram_mb       = var.image_ram
  visibility       = "shared"
  tags             = local.tags
  properties       = { note = local.note }
}

resource "openstack_images_image_access_v2" "disk" {
  image_id  = openstack_images_image_v2.disk.id
  member_id = openstack_identity_project_v3.team.id
}

resource "openstack_blockstorage_volume_v3" "data" {
  name                 = "tofu-data${local.suffix}"
  description          = local.note
  size                 = var.changed ? 2 : 1
  metadata             = { note = local.note }
  enable_online_resize = true
}

resource "openstack_blockstorage_volume_v3" "common" {
  name        = "tofu-common"
  size        = 1
  volume_type = openstack_blockstorage_volume_type_v3.fast.name
}

resource "openstack_blockstorage_volume_v3" "root" {
  name     = "tofu-root"
  size     = 1
  image_id = openstack_images_image_v2.disk.id
}

resource "openstack_blockstorage_volume_v3" "copy" {
  name          = "tofu-copy"
  size          = 1
  source_vol_id = openstack_blockstorage_volume_v3.root.id
}

resource "openstack_compute_instance_v2" "web" {
  name         = "tofu-web${local.suffix}"
  image_id     = openstack_images_image_v2.disk.id
  flavor_id    = var.changed ? openstack_compute_flavor_v2.larger.id : openstack_compute_flavor_v2.small.id
  key_pair     = openstack_compute_keypair_v2.given.name
  config_drive = true
  user_data    = "#cloud-config\n{}\n"
  metadata     = var.changed ? { role = "web", note = "changed" } : { role = "web", first = "1" }
  tags         = local.tags
  network {
    port = openstack_networking_port_v2.eth0.id
  }
  scheduler_hints {
    group = openstack_compute_servergroup_v2.apart.id
  }
}

resource "openstack_compute_volume_attach_v2" "data" {
  instance_id = openstack_compute_instance_v2.web.id
  volume_id   = openstack_blockstorage_volume_v3.data.id
}

resource "openstack_compute_volume_attach_v2" "common" {
  for_each    = { web = openstack_compute_instance_v2.web.id, other = openstack_compute_instance_v2.from_volume.id }
  instance_id = each.value
  volume_id   = openstack_blockstorage_volume_v3.common.id
  multiattach = true
}

resource "openstack_compute_interface_attach_v2" "eth1" {
  instance_id = openstack_compute_instance_v2.web.id
  port_id     = openstack_networking_port_v2.eth1.id
}

resource "openstack_compute_instance_v2" "from_volume" {
  name              = "tofu-from-volume${local.suffix}"
  flavor_id         = openstack_compute_flavor_v2.small.id
  availability_zone = "nova"
  admin_pass        = "only-for-this-test"
  security_groups   = var.changed ? [openstack_networking_secgroup_v2.bare.name] : ["default"]
  power_state       = var.changed ? "shutoff" : "active"
  network {
    uuid        = openstack_networking_network_v2.inside.id
    fixed_ip_v4 = "10.40.0.60"
  }
  block_device {
    uuid                  = openstack_blockstorage_volume_v3.root.id
    source_type           = "volume"
    destination_type      = "volume"
    boot_index            = 0
    delete_on_termination = false
  }
  block_device {
    source_type           = "blank"
    destination_type      = "volume"
    volume_size           = 1
    boot_index            = -1
    delete_on_termination = true
  }
  depends_on = [openstack_networking_subnet_v2.four]
}

resource "openstack_compute_instance_v2" "alone" {
  name         = "tofu-alone"
  image_name   = openstack_images_image_v2.disk.name
  flavor_name  = openstack_compute_flavor_v2.small.name
  network_mode = "none"
  metadata     = { note = local.note }
}

resource "openstack_identity_application_credential_v3" "robot" {
  name        = "tofu-robot"
  description = "reads only"
  roles       = ["reader"]
  expires_at  = "2099-01-01T00:00:00Z"
}
