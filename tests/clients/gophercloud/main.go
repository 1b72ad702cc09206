// A tenant's whole way through the cloud by gophercloud, the library below Terraform's provider: from a key pair to a
// server with a port, a volume and an address of its own, read back, changed, refused, deleted.
//
// Environment: OS_* as in an openrc file and OS_DOMAIN_ID, IMAGE and FLAVOR (ids). Prints one line for each thing that was seen.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/attachinterfaces"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/instanceactions"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/tags"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/volumeattach"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
)

const address = "10.9.0.77"

type cloud struct {
	compute, network, volume, image *gophercloud.ServiceClient
}

func main() {
	log.SetFlags(0)
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	c := signIn(ctx)
	flavor := must(flavors.Get(ctx, c.compute, os.Getenv("FLAVOR")).Extract())
	image := must(images.Get(ctx, c.image, os.Getenv("IMAGE")).Extract())
	fmt.Println("flavor and image:", flavor.Name, image.Status)

	key := must(keypairs.Create(ctx, c.compute, keypairs.CreateOpts{Name: "gopher"}).Extract())
	expect(key.PrivateKey != "", "the key pair has a private key")
	port := c.makePort(ctx)
	data := must(volumes.Create(ctx, c.volume, volumes.CreateOpts{Size: 1, Name: "data"}, nil).Extract())
	until(ctx, "the volume is available", func() bool {
		return must(volumes.Get(ctx, c.volume, data.ID).Extract()).Status == "available"
	})

	server := c.makeServer(ctx, flavor, image, port, data)
	c.readBack(ctx, server, port, data)
	c.change(ctx, server)
	c.refuse(ctx, flavor)

	check(servers.Delete(ctx, c.compute, server).ExtractErr())
	until(ctx, "the server is gone", func() bool {
		_, err := servers.Get(ctx, c.compute, server).Extract()
		return gophercloud.ResponseCodeIs(err, http.StatusNotFound)
	})
	kept := must(volumes.Get(ctx, c.volume, data.ID).Extract())
	expect(kept.Status == "available", "the tenant's own volume is kept, and is free")
	expect(must(ports.Get(ctx, c.network, port.ID).Extract()).DeviceID == "", "so is the port")
	c.cleanUp(ctx, key, port, data)
	fmt.Println("done")
}

func signIn(ctx context.Context) cloud {
	provider := must(openstack.AuthenticatedClient(ctx, must(openstack.AuthOptionsFromEnv())))
	where := gophercloud.EndpointOpts{Region: os.Getenv("OS_REGION_NAME")}
	c := cloud{
		compute: must(openstack.NewComputeV2(provider, where)),
		network: must(openstack.NewNetworkV2(provider, where)),
		volume:  must(openstack.NewBlockStorageV3(provider, where)),
		image:   must(openstack.NewImageV2(provider, where)),
	}
	c.compute.Microversion = "2.90"
	fmt.Println("signed in")
	return c
}

func (c cloud) makePort(ctx context.Context) *ports.Port {
	net := must(networks.Create(ctx, c.network, networks.CreateOpts{Name: "gophers"}).Extract())
	subnet := must(subnets.Create(ctx, c.network, subnets.CreateOpts{
		NetworkID: net.ID, CIDR: "10.9.0.0/24", IPVersion: gophercloud.IPv4, Name: "burrow",
	}).Extract())
	group := must(groups.Create(ctx, c.network, groups.CreateOpts{Name: "ssh only"}).Extract())
	must(rules.Create(ctx, c.network, rules.CreateOpts{
		SecGroupID: group.ID, Direction: rules.DirIngress, EtherType: rules.EtherType4,
		Protocol: rules.ProtocolTCP, PortRangeMin: 22, PortRangeMax: 22,
	}).Extract())
	port := must(ports.Create(ctx, c.network, ports.CreateOpts{
		NetworkID: net.ID, Name: "eth0", SecurityGroups: &[]string{group.ID},
		FixedIPs: []ports.IP{{SubnetID: subnet.ID, IPAddress: address}},
	}).Extract())
	expect(port.FixedIPs[0].IPAddress == address, "the port has the address that was asked for")
	return port
}

func (c cloud) makeServer(
	ctx context.Context, flavor *flavors.Flavor, image *images.Image, port *ports.Port, data *volumes.Volume,
) string {
	wanted := servers.CreateOpts{
		Name: "gopher-1", Hostname: "gopher", ImageRef: image.ID, FlavorRef: flavor.ID,
		Networks: []servers.Network{{Port: port.ID}},
		UserData: []byte("#!/bin/sh\necho hello\n"),
		Metadata: map[string]string{"made": "by-gophercloud"},
		Tags:     []string{"burrow"},
		BlockDevice: []servers.BlockDevice{
			{SourceType: servers.SourceImage, UUID: image.ID, DestinationType: servers.DestinationLocal, DeleteOnTermination: true},
			{SourceType: servers.SourceVolume, UUID: data.ID, DestinationType: servers.DestinationVolume, BootIndex: -1},
		},
	}
	made := must(servers.Create(ctx, c.compute, keypairs.CreateOptsExt{CreateOptsBuilder: wanted, KeyName: "gopher"}, nil).Extract())
	expect(made.AdminPass != "", "the answer has the password")
	check(servers.WaitForStatus(ctx, c.compute, made.ID, "ACTIVE"))
	fmt.Println("server is ACTIVE")
	return made.ID
}

func (c cloud) readBack(ctx context.Context, id string, port *ports.Port, data *volumes.Volume) {
	server := must(servers.Get(ctx, c.compute, id).Extract())
	expect(server.KeyName == "gopher" && server.Metadata["made"] == "by-gophercloud", "key name and metadata")
	expect(server.Tags != nil && len(*server.Tags) == 1 && (*server.Tags)[0] == "burrow", "tags in the server")
	expect(server.Hostname != nil && *server.Hostname == "gopher", "hostname")
	expect(len(server.Addresses) == 1 && server.Addresses["gophers"] != nil, "addresses by network")
	expect(len(server.AttachedVolumes) == 1 && server.AttachedVolumes[0].ID == data.ID, "attached volumes")
	nics := must(attachinterfaces.ExtractInterfaces(must(attachinterfaces.List(c.compute, id).AllPages(ctx))))
	expect(len(nics) == 1 && nics[0].PortID == port.ID && nics[0].FixedIPs[0].IPAddress == address, "interfaces")
	held := must(volumeattach.ExtractVolumeAttachments(must(volumeattach.List(c.compute, id).AllPages(ctx))))
	expect(len(held) == 1 && held[0].VolumeID == data.ID, "volume attachments")
	expect(must(volumes.Get(ctx, c.volume, data.ID).Extract()).Status == "in-use", "the volume is in use")
	byName := servers.ListOpts{Name: "gopher", Status: "ACTIVE", Limit: 1}
	listed := must(servers.ExtractServers(must(servers.List(c.compute, byName).AllPages(ctx))))
	expect(len(listed) == 1 && listed[0].ID == id, "list by name and status, page by page")
	actions := must(instanceactions.ExtractInstanceActions(must(instanceactions.List(c.compute, id, nil).AllPages(ctx))))
	expect(len(actions) == 1 && actions[0].Action == "create", "instance actions")
	must(servers.ShowConsoleOutput(ctx, c.compute, id, servers.ShowConsoleOutputOpts{Length: 5}).Extract())
	fmt.Println("ok: console output")
}

func (c cloud) change(ctx context.Context, id string) {
	renamed := must(servers.Update(ctx, c.compute, id, servers.UpdateOpts{Name: "gopher-2"}).Extract())
	expect(renamed.Name == "gopher-2", "renamed")
	must(servers.UpdateMetadata(ctx, c.compute, id, servers.MetadataOpts{"more": "1"}).Extract())
	check(servers.DeleteMetadatum(ctx, c.compute, id, "made").ExtractErr())
	left := must(servers.Metadata(ctx, c.compute, id).Extract())
	expect(len(left) == 1 && left["more"] == "1", "metadata changed")
	must(tags.ReplaceAll(ctx, c.compute, id, tags.ReplaceAllOpts{Tags: []string{"a", "b"}}).Extract())
	expect(len(must(tags.List(ctx, c.compute, id).Extract())) == 2, "tags replaced")
	check(servers.Lock(ctx, c.compute, id).ExtractErr())
	check(servers.Unlock(ctx, c.compute, id).ExtractErr())
	fmt.Println("ok: locked and unlocked")
}

func (c cloud) refuse(ctx context.Context, flavor *flavors.Flavor) {
	nobodys := servers.CreateOpts{Name: "no", FlavorRef: flavor.ID, ImageRef: "70a599e0-31e7-49b7-b260-868f441e862b", Networks: "none"}
	_, err := servers.Create(ctx, c.compute, nobodys, nil).Extract()
	expect(gophercloud.ResponseCodeIs(err, http.StatusBadRequest), "an unknown image is 400")
	_, err = servers.Get(ctx, c.compute, "70a599e0-31e7-49b7-b260-868f441e862b").Extract()
	expect(gophercloud.ResponseCodeIs(err, http.StatusNotFound), "an unknown server is 404")
}

func (c cloud) cleanUp(ctx context.Context, key *keypairs.KeyPair, port *ports.Port, data *volumes.Volume) {
	check(volumes.Delete(ctx, c.volume, data.ID, nil).ExtractErr())
	check(ports.Delete(ctx, c.network, port.ID).ExtractErr())
	check(groups.Delete(ctx, c.network, port.SecurityGroups[0]).ExtractErr())
	check(networks.Delete(ctx, c.network, port.NetworkID).ExtractErr())
	check(keypairs.Delete(ctx, c.compute, key.Name, nil).ExtractErr())
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		log.Panic(err)
	}
}

func expect(seen bool, what string) {
	if !seen {
		log.Panicf("not so: %s", what)
	}
	fmt.Println("ok:", what)
}

func until(ctx context.Context, what string, done func() bool) {
	for !done() {
		select {
		case <-ctx.Done():
			log.Panicf("not in time: %s", what)
		case <-time.After(200 * time.Millisecond):
		}
	}
	fmt.Println("ok:", what)
}
