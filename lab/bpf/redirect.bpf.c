// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The least that an AF_XDP socket needs, for the tests of crates/xsk: IPv4 packets to UDP port 4053 go to the socket of
// the queue they came in on, if the queue is enabled; all else goes on to the kernel.
//
// No kernel headers are included: what little is needed of linux/bpf.h stands here.

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

enum { MAP_HASH = 1, MAP_ARRAY = 2, MAP_PERCPU_ARRAY = 6, MAP_XSKMAP = 17 };
enum { ACTION_PASS = 2 };

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_redirect_map)(void *map, u64 key, u64 flags) = (void *)51;

struct xdp_md {
	u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

struct frame {
	u16 ethernet[6];
	u16 ethertype;
	u8 version_ihl, tos;
	u16 total_length, identification, fragment;
	u8 ttl, protocol;
	u16 checksum;
	u16 source[2], destination[2];
	u16 source_port, destination_port;
	u16 udp_length, udp_checksum;
};

struct {
	NUMBER(type, MAP_XSKMAP);
	NUMBER(max_entries, 8);
	TYPE(key, u32);
	TYPE(value, u32);
} xsks SEC(".maps");

// 1: packets of this queue are redirected.
struct {
	NUMBER(type, MAP_ARRAY);
	NUMBER(max_entries, 8);
	TYPE(key, u32);
	TYPE(value, u32);
} queues SEC(".maps");

// Packets that match, by queue, whether or not they are redirected.
struct {
	NUMBER(type, MAP_PERCPU_ARRAY);
	NUMBER(max_entries, 8);
	TYPE(key, u32);
	TYPE(value, u64);
} seen SEC(".maps");

SEC("xdp")
int redirect(struct xdp_md *ctx)
{
	struct frame *frame = (void *)(long)ctx->data;
	u32 queue = ctx->rx_queue_index;
	u32 *enabled;
	u64 *count;

	if ((void *)(frame + 1) > (void *)(long)ctx->data_end)
		return ACTION_PASS;
	if (frame->ethertype != NET16(0x0800) || frame->version_ihl != 0x45 || frame->protocol != 17)
		return ACTION_PASS;
	if (frame->destination_port != NET16(4053))
		return ACTION_PASS;
	count = bpf_map_lookup_elem(&seen, &queue);
	if (count)
		*count += 1;
	enabled = bpf_map_lookup_elem(&queues, &queue);
	if (!enabled || !*enabled)
		return ACTION_PASS;
	return bpf_redirect_map(&xsks, queue, ACTION_PASS);
}

char _license[] SEC("license") = "Dual MIT/GPL";
