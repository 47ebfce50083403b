//! Checked views of Ethernet, IP and UDP headers, and replies written in place.
