//! Sluicegate's XDP steering program and the layout of its maps.
