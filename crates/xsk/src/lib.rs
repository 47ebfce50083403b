//! AF_XDP sockets with owned frames and a fully safe API.
