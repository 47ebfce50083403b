// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The two limits that the bench shows: `reflect` answers a query inside the driver (XDP_TX), the least that any server
// could do; `redirect` hands it to the AF_XDP socket of its queue, the least that any server on AF_XDP could do.
//
// A query is UDP to port 53, without IP options or fragments. All else goes on to the kernel.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define NUMBER(name, value) int(*name)[value]
#define TYPE(name, type) type *name

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NET16(x) ((u16)__builtin_bswap16(x))
#else
#define NET16(x) ((u16)(x))
#endif

enum { MAP_XSKMAP = 17 };
enum { ACTION_PASS = 2, ACTION_TX = 3 };

static long (*bpf_redirect_map)(void *map, u64 key, u64 flags) = (void *)51;

struct xdp_md {
	u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

struct query {
	u16 destination_mac[3], source_mac[3];
	u16 ethertype;
	u8 version_ihl, tos;
	u16 total_length, identification, fragment;
	u8 ttl, protocol;
	u16 checksum;
	u16 source[2], destination[2];
	u16 source_port, destination_port;
	u16 udp_length, udp_checksum;
	u16 id;
	u8 flags, rcode;
};

struct {
	NUMBER(type, MAP_XSKMAP);
	NUMBER(max_entries, 64);
	TYPE(key, u32);
	TYPE(value, u32);
} xsks SEC(".maps");

static __attribute__((always_inline)) struct query *query_of(struct xdp_md *ctx)
{
	struct query *query = (void *)(long)ctx->data;

	if ((void *)(query + 1) > (void *)(long)ctx->data_end)
		return 0;
	if (query->ethertype != NET16(0x0800) || query->version_ihl != 0x45 || query->protocol != 17)
		return 0;
	if (query->destination_port != NET16(53) || (query->fragment & NET16(0x3fff)))
		return 0;
	return query;
}

#define SWAP(a, b)                                                                                                     \
	do {                                                                                                           \
		u16 kept = (a);                                                                                        \
		(a) = (b);                                                                                             \
		(b) = kept;                                                                                            \
	} while (0)

SEC("xdp")
int reflect(struct xdp_md *ctx)
{
	struct query *query = query_of(ctx);

	if (!query)
		return ACTION_PASS;
	SWAP(query->destination_mac[0], query->source_mac[0]);
	SWAP(query->destination_mac[1], query->source_mac[1]);
	SWAP(query->destination_mac[2], query->source_mac[2]);
	SWAP(query->source[0], query->destination[0]);
	SWAP(query->source[1], query->destination[1]);
	SWAP(query->source_port, query->destination_port);
	query->udp_checksum = 0;
	query->flags |= 0x80;
	return ACTION_TX;
}

SEC("xdp")
int redirect(struct xdp_md *ctx)
{
	if (!query_of(ctx))
		return ACTION_PASS;
	return bpf_redirect_map(&xsks, ctx->rx_queue_index, ACTION_PASS);
}

char _license[] SEC("license") = "Dual MIT/GPL";
