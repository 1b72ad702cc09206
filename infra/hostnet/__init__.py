"""Guest networking on a compute host: bridges, DHCP reservations, anti-spoofing and security groups."""
