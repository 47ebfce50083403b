// SPDX-License-Identifier: MIT OR Apache-2.0
//
// An XDP program of your own that redirects DNS queries into Sluicegate's sockets: an example for `pinned-maps:` (see
// README.md). It takes what Sluicegate's own program takes of untagged packets; put your own work where it says so.
//
//   clang -target bpf -O2 -g -c redirect.bpf.c -o redirect.o
//   bpftool prog load redirect.o /sys/fs/bpf/redirect type xdp \
//       map name xsks pinned /sys/fs/bpf/sluicegate/eth0/xsks \
//       map name listen pinned /sys/fs/bpf/sluicegate/eth0/listen \
//       map name queues pinned /sys/fs/bpf/sluicegate/eth0/queues
//   bpftool net attach xdpdrv pinned /sys/fs/bpf/redirect dev eth0

#include <linux/bpf.h>
#include <linux/types.h>

#define SEC(name) __attribute__((section(name), used))
#define NUMBER(name, value) int(*name)[value]
#define TYPE(name, type) type *name

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NET16(x) ((__u16)__builtin_bswap16(x))
#define NET32(x) ((__u32)__builtin_bswap32(x))
#else
#define NET16(x) ((__u16)(x))
#define NET32(x) ((__u32)(x))
#endif

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static __u64 (*bpf_xdp_get_buff_len)(struct xdp_md *ctx) = (void *)BPF_FUNC_xdp_get_buff_len;
static long (*bpf_redirect_map)(void *map, __u64 key, __u64 flags) = (void *)BPF_FUNC_redirect_map;

// A place that is listened on, and the interface that has its address: as Sluicegate writes them into `listen`.
struct listen_key {
	__u32 address[4]; // IPv4 as ::ffff:a.b.c.d
	__u16 port;       // network order, as the address
	__u16 vlan_outer; // the number, with 0x1000 added for 802.1ad; 0: no tag
	__u16 vlan_inner;
	__u16 reserved;
};

struct owner {
	__u16 mac[3];
	__u16 reserved;
	__u32 reply_ifindex;
};

// LIBBPF_PIN_BY_NAME: loaders that know it, such as xdp-loader with --pin-path, find the maps by themselves.
#define PIN_BY_NAME 1

struct {
	NUMBER(type, BPF_MAP_TYPE_XSKMAP);
	NUMBER(max_entries, 1024);
	NUMBER(pinning, PIN_BY_NAME);
	TYPE(key, __u32);
	TYPE(value, __u32);
} xsks SEC(".maps");

struct {
	NUMBER(type, BPF_MAP_TYPE_HASH);
	NUMBER(max_entries, 4096);
	NUMBER(pinning, PIN_BY_NAME);
	TYPE(key, struct listen_key);
	TYPE(value, struct owner);
} listen SEC(".maps");

// 1: the queue's socket is served.
struct {
	NUMBER(type, BPF_MAP_TYPE_ARRAY);
	NUMBER(max_entries, 1024);
	NUMBER(pinning, PIN_BY_NAME);
	TYPE(key, __u32);
	TYPE(value, __u32);
} queues SEC(".maps");

// What a frame of Sluicegate's sockets holds.
#define MAX_FRAME_BYTES 1792

struct headers4 {
	__u16 destination_mac[3], source_mac[3], ethertype;
	__u8 version_ihl, tos;
	__u16 total_length, identification, fragment;
	__u8 ttl, protocol;
	__u16 checksum;
	__u16 source[2], destination[2];
	__u16 source_port, destination_port, udp_length, udp_checksum;
	__u16 id;
	__u8 flags, codes;
	__u16 counts[4];
};

struct headers6 {
	__u16 destination_mac[3], source_mac[3], ethertype;
	__u16 version_class_flow[2], payload_length;
	__u8 next_header, hop_limit;
	__u16 source[8], destination[8];
	__u16 source_port, destination_port, udp_length, udp_checksum;
	__u16 id;
	__u8 flags, codes;
	__u16 counts[4];
};

static __attribute__((always_inline)) int take(struct xdp_md *ctx, const struct listen_key *key, const __u16 *mac)
{
	struct owner *owner = bpf_map_lookup_elem(&listen, key);
	__u32 queue = ctx->rx_queue_index;
	__u32 *served;

	if (!owner || owner->mac[0] != mac[0] || owner->mac[1] != mac[1] || owner->mac[2] != mac[2])
		return XDP_PASS;
	served = bpf_map_lookup_elem(&queues, &queue);
	if (!served || !*served)
		return XDP_PASS;
	// XDP_PASS is for a slot without a socket: while Sluicegate starts, stops, or is gone.
	return bpf_redirect_map(&xsks, queue, XDP_PASS);
}

SEC("xdp")
int redirect(struct xdp_md *ctx)
{
	void *data = (void *)(unsigned long)ctx->data, *end = (void *)(unsigned long)ctx->data_end;
	struct headers4 *h4 = data;
	struct headers6 *h6 = data;
	struct listen_key key = {};

	// Your own work goes here.

	// A longer frame would be lost.
	if (bpf_xdp_get_buff_len(ctx) > MAX_FRAME_BYTES || (void *)(h4 + 1) > end)
		return XDP_PASS;
	if (h4->ethertype == NET16(0x0800)) {
		// Neither options nor fragments, lengths that agree, and QR=0.
		if (h4->version_ihl != 0x45 || h4->protocol != 17 || (h4->fragment & NET16(0xbfff)))
			return XDP_PASS;
		if (NET16(h4->total_length) != NET16(h4->udp_length) + 20 || (h4->flags & 0x80))
			return XDP_PASS;
		key.address[2] = NET32(0x0000ffff);
		key.address[3] = *(__u32 *)h4->destination;
		key.port = h4->destination_port;
		return take(ctx, &key, h4->destination_mac);
	}
	if ((void *)(h6 + 1) > end || h6->ethertype != NET16(0x86dd))
		return XDP_PASS;
	if (h6->next_header != 17 || h6->payload_length != h6->udp_length || (h6->flags & 0x80))
		return XDP_PASS;
	key.address[0] = *(__u32 *)&h6->destination[0];
	key.address[1] = *(__u32 *)&h6->destination[2];
	key.address[2] = *(__u32 *)&h6->destination[4];
	key.address[3] = *(__u32 *)&h6->destination[6];
	key.port = h6->destination_port;
	return take(ctx, &key, h6->destination_mac);
}

char redirect_license[] SEC("license") = "Dual MIT/GPL";
