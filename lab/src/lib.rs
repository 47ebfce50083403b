//! Namespaces, peers and clients for Sluicegate's tests; never shipped.
