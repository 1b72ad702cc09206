"""What an audit reads: records, hosts, network and volume service, each page by page and without secrets."""
