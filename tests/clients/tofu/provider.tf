# A tenant's provider, signed in by OS_*, and the operator's beside it. TF_VAR_* give the rest.
terraform {
  required_providers {
    openstack = {
      source = "terraform-provider-openstack/openstack"
    }
  }
}

variable "operator_password" {
  type      = string
  sensitive = true
}

variable "image_file" {
  type = string
}

# MiB that the image needs.
variable "image_ram" {
  type = number
}

variable "public_key" {
  type = string
}

# False: as it is first made. True: the same, with each thing changed that can be changed in place.
variable "changed" {
  type    = bool
  default = false
}

provider "openstack" {}

provider "openstack" {
  alias       = "operator"
  user_name   = "admin"
  tenant_name = "admin"
  password    = var.operator_password
}

locals {
  suffix = var.changed ? "-changed" : ""
  note   = var.changed ? "changed in place" : "as first made"
  tags   = var.changed ? ["tofu", "changed"] : ["tofu"]
}
