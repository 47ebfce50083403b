// SPDX-License-Identifier: MIT OR Apache-2.0
//
// What the programs of the tests and of the bench have in common: a query over IPv4, without options and fragments, to a
// port. No kernel headers are included: what little is needed of linux/bpf.h stands here.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static __attribute__((always_inline)) inline
#define NUMBER(name, value) int(*name)[value]
#define TYPE(name, type) type *name

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NET16(x) ((u16)__builtin_bswap16(x))
#else
#define NET16(x) ((u16)(x))
#endif

enum { MAP_ARRAY = 2, MAP_PERCPU_ARRAY = 6, MAP_XSKMAP = 17 };
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
};

INLINE struct query *query_to(struct xdp_md *ctx, u16 port)
{
	struct query *query = (void *)(long)ctx->data;

	if ((void *)(query + 1) > (void *)(long)ctx->data_end)
		return 0;
	if (query->ethertype != NET16(0x0800) || query->version_ihl != 0x45 || query->protocol != 17)
		return 0;
	if (query->destination_port != NET16(port) || (query->fragment & NET16(0x3fff)))
		return 0;
	return query;
}
