"""Which host a server goes to: filters and weighers, pure. The store of claims asks them within its transaction."""
