"""Keystone and Glance, unmodified, each in a process of its own: configuration, set-up, and the server in front.

They share no process, because both keep their configuration in oslo.config's one global object."""
