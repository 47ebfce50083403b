// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Steers DNS queries into AF_XDP sockets; everything else goes on through the kernel.
//
// What is taken: Ethernet with up to two VLAN tags, IPv4 without options and fragments or IPv6 without extension
// headers, UDP whose lengths agree, from an address that may be answered, to a (VLAN, address, port) in `listen` and
// to the MAC address of the interface that has that address, with a complete DNS header that says "query". Such a
// frame is redirected to the XSKMAP slot of the queue it came in on, if that queue is enabled.
// Whatever misses, in whatever doubt: XDP_PASS, counted by its reason.
//
// What can't be seen: a VLAN tag that the hardware has taken off (rxvlan). Such a frame looks untagged here; it is
// passed unless an untagged listen address is its destination.
//
// Rules of the house for this file:
//  - Packet pointers move by constants only, and the frame's length comes from a helper: so the verifier
//    accepts the program with CAP_BPF and CAP_NET_ADMIN alone. Pointer subtraction, and adding a register
//    to a packet pointer, would ask for CAP_PERFMON too.
//  - No loops, no calls, no BTF from the running kernel; clang 14 builds it; Linux 5.18 and later load it.
//  - The layouts of the maps and the numbers of the exits are mirrored in src/lib.rs.

#include <linux/bpf.h>
#include <linux/types.h>

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
// BTF-defined maps: a number is the length of an array behind a pointer, a type is the pointer's own.
#define NUMBER(name, value) int(*name)[value]
#define TYPE(name, type) type *name

// Numbers: enum bpf_func_id in linux/bpf.h.
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*bpf_redirect_map)(void *map, __u64 key, __u64 flags) = (void *)BPF_FUNC_redirect_map;
static __u64 (*bpf_xdp_get_buff_len)(struct xdp_md *ctx) = (void *)BPF_FUNC_xdp_get_buff_len;

// Host to network order of a constant or a loaded value; BPF objects are built for either endianness.
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NET16(x) ((__u16)__builtin_bswap16(x))
#define NET32(x) ((__u32)__builtin_bswap32(x))
#else
#define NET16(x) ((__u16)(x))
#define NET32(x) ((__u32)(x))
#endif

#define MAX_QUEUES 1024
#define MAX_LISTEN 4096
#define MAX_BROADCAST 1024

// Why a packet left the program. Mirrored by `Exit` in src/lib.rs.
enum exit {
	EXIT_REDIRECTED,
	EXIT_NO_SOCKET,
	EXIT_QUEUE_OFF,
	EXIT_NOT_READY,
	EXIT_ETHERNET_SHORT,
	EXIT_OVERSIZE,
	EXIT_OTHER_MAC,
	EXIT_SOURCE_MAC,
	EXIT_VLAN,
	EXIT_ETHERTYPE,
	EXIT_IPV4_HEADER,
	EXIT_IPV4_OPTIONS,
	EXIT_IPV4_FRAGMENT,
	EXIT_IPV4_LENGTH,
	EXIT_IPV6_HEADER,
	EXIT_IPV6_LENGTH,
	EXIT_PROTOCOL,
	EXIT_SOURCE_ADDRESS,
	EXIT_SOURCE_PORT,
	EXIT_UDP_LENGTH,
	EXIT_DNS_SHORT,
	EXIT_NOT_QUERY,
	EXIT_NOT_LISTENING,
	EXIT_COUNT,
};

// The interface this program is attached to. One entry.
struct link {
	__u32 max_frame_bytes; // larger frames do not fit a UMEM frame and stay with the kernel
	__u32 ready;           // 0 until user space has filled in the rest
};

// A place that is listened on. 24 bytes, a multiple of 4: the kernel hashes such keys by words.
struct listen_key {
	__u32 address[4];  // network order; IPv4 as ::ffff:a.b.c.d
	__u16 port;        // network order
	__u16 vlan_outer;  // VLAN identifier in host order; 0: no tag
	__u16 vlan_inner;
	__u16 reserved;    // 0
};

// The interface that has the address of a `listen_key`: this one, or one above it (a VLAN, a bridge, a bond).
struct owner {
	__u16 mac[3]; // as on the wire; frames to another one are not for us
	__u16 reserved;
	__u32 reply_ifindex; // the interface that a reply's route must leave by; 0: no matter
};

struct {
	NUMBER(type, BPF_MAP_TYPE_ARRAY);
	NUMBER(max_entries, 1);
	TYPE(key, __u32);
	TYPE(value, struct link);
} link SEC(".maps");

struct {
	NUMBER(type, BPF_MAP_TYPE_HASH);
	NUMBER(max_entries, MAX_LISTEN);
	TYPE(key, struct listen_key);
	TYPE(value, struct owner);
} listen SEC(".maps");

// Directed broadcast addresses of the interface's IPv4 prefixes, network order: no source of a query.
struct {
	NUMBER(type, BPF_MAP_TYPE_HASH);
	NUMBER(max_entries, MAX_BROADCAST);
	TYPE(key, __u32);
	TYPE(value, __u32);
} broadcast SEC(".maps");

// 1: the queue's socket is bound and served.
struct {
	NUMBER(type, BPF_MAP_TYPE_ARRAY);
	NUMBER(max_entries, MAX_QUEUES);
	TYPE(key, __u32);
	TYPE(value, __u32);
} queues SEC(".maps");

struct {
	NUMBER(type, BPF_MAP_TYPE_XSKMAP);
	NUMBER(max_entries, MAX_QUEUES);
	TYPE(key, __u32);
	TYPE(value, __u32);
} xsks SEC(".maps");

struct {
	NUMBER(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	NUMBER(max_entries, EXIT_COUNT);
	TYPE(key, __u32);
	TYPE(value, __u64);
} counters SEC(".maps");

// Headers, as on the wire. Their natural layout has no holes; the verifier knows which kernels may load a
// word from an odd place.
struct ethernet {
	__u16 destination[3];
	__u16 source[3];
	__u16 ethertype;
};

struct vlan_tag {
	__u16 control; // 3 bits priority, 1 bit drop eligible, 12 bits identifier
	__u16 ethertype;
};

struct ipv4 {
	__u8 version_ihl;
	__u8 tos;
	__u16 total_length;
	__u16 identification;
	__u16 fragment;
	__u8 ttl;
	__u8 protocol;
	__u16 checksum;
	__u32 source;
	__u32 destination;
};

struct ipv6 {
	__u32 version_class_flow;
	__u16 payload_length;
	__u8 next_header;
	__u8 hop_limit;
	__u32 source[4];
	__u32 destination[4];
};

struct udp {
	__u16 source;
	__u16 destination;
	__u16 length;
	__u16 checksum;
};

struct dns {
	__u16 id;
	__u8 flags; // QR is the highest bit
	__u8 codes;
	__u16 counts[4];
};

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define TPID_8021Q 0x8100
#define TPID_8021AD 0x88a8
#define VLAN_ID_MASK 0x0fff
#define PROTOCOL_UDP 17
// Everything in the fragment field but "don't fragment": more fragments, the offset, the reserved bit.
#define IPV4_FRAGMENT_MASK 0xbfff

// A frame on its way through the checks.
struct packet {
	struct xdp_md *ctx;
	struct ethernet *ethernet;
	void *end;          // one past the frame's last byte
	__u32 rest_bytes;   // frame length from the header now looked at
	struct listen_key key;
};

INLINE int source_ipv4_ok(__u32 source, __u32 destination)
{
	__u32 first = NET32(source) >> 24;

	// 0/8 and 127/8 never come from a wire; 224/4 and above are multicast, reserved, or broadcast.
	if (first == 0 || first == 127 || first >= 224 || source == destination)
		return 0;
	// The last two bits of a directed broadcast address are set, whatever the prefix: so that three of
	// four sources cost no look-up.
	if ((NET32(source) & 3) == 3 && bpf_map_lookup_elem(&broadcast, &source))
		return 0;
	return 1;
}

// ::/96 holds the unspecified and the loopback address; ::ffff:0:0/96 is IPv4 in IPv6's dress, never on a
// wire, and would find the IPv4 keys of `listen`.
INLINE int never_on_wire(const __u32 *a)
{
	return a[0] == 0 && a[1] == 0 && (a[2] == 0 || a[2] == NET32(0x0000ffff));
}

INLINE int source_ipv6_ok(const struct ipv6 *ip)
{
	const __u32 *s = ip->source, *d = ip->destination;

	if (*(const __u8 *)s == 0xff || never_on_wire(s))
		return 0;
	return !(s[0] == d[0] && s[1] == d[1] && s[2] == d[2] && s[3] == d[3]);
}

INLINE int is_to(const struct ethernet *eth, const struct owner *owner)
{
	return eth->destination[0] == owner->mac[0] && eth->destination[1] == owner->mac[1] &&
	       eth->destination[2] == owner->mac[2];
}

INLINE enum exit steer_udp(struct packet *p, struct udp *udp, __u32 ip_payload_bytes)
{
	struct dns *dns = (void *)(udp + 1);
	__u32 queue = p->ctx->rx_queue_index;
	struct owner *owner;
	__u32 *enabled;

	if ((void *)(udp + 1) > p->end || NET16(udp->length) != ip_payload_bytes)
		return EXIT_UDP_LENGTH;
	if (udp->source == 0)
		return EXIT_SOURCE_PORT;
	p->key.port = udp->destination;
	owner = bpf_map_lookup_elem(&listen, &p->key);
	if (!owner)
		return EXIT_NOT_LISTENING;
	if (!is_to(p->ethernet, owner))
		return EXIT_OTHER_MAC;
	if (ip_payload_bytes < sizeof(*udp) + sizeof(*dns) || (void *)(dns + 1) > p->end)
		return EXIT_DNS_SHORT;
	if (dns->flags & 0x80)
		return EXIT_NOT_QUERY;
	enabled = bpf_map_lookup_elem(&queues, &queue);
	if (!enabled || !*enabled)
		return EXIT_QUEUE_OFF;
	if (bpf_redirect_map(&xsks, queue, XDP_PASS) != XDP_REDIRECT)
		return EXIT_NO_SOCKET;
	return EXIT_REDIRECTED;
}

INLINE enum exit steer_ipv4(struct packet *p, struct ipv4 *ip)
{
	__u32 total_bytes;

	if ((void *)(ip + 1) > p->end || ip->version_ihl >> 4 != 4 || (ip->version_ihl & 0xf) < 5)
		return EXIT_IPV4_HEADER;
	if (ip->version_ihl != 0x45)
		return EXIT_IPV4_OPTIONS;
	if (ip->fragment & NET16(IPV4_FRAGMENT_MASK))
		return EXIT_IPV4_FRAGMENT;
	total_bytes = NET16(ip->total_length);
	if (total_bytes < sizeof(*ip) || total_bytes > p->rest_bytes)
		return EXIT_IPV4_LENGTH;
	if (ip->protocol != PROTOCOL_UDP)
		return EXIT_PROTOCOL;
	if (!source_ipv4_ok(ip->source, ip->destination))
		return EXIT_SOURCE_ADDRESS;
	p->key.address[2] = NET32(0x0000ffff);
	p->key.address[3] = ip->destination;
	return steer_udp(p, (void *)(ip + 1), total_bytes - sizeof(*ip));
}

INLINE enum exit steer_ipv6(struct packet *p, struct ipv6 *ip)
{
	__u32 payload_bytes;

	if ((void *)(ip + 1) > p->end || *(__u8 *)ip >> 4 != 6)
		return EXIT_IPV6_HEADER;
	payload_bytes = NET16(ip->payload_length);
	// 0 would announce a jumbogram; the UDP length can't agree with it.
	if (payload_bytes > p->rest_bytes - sizeof(*ip))
		return EXIT_IPV6_LENGTH;
	if (ip->next_header != PROTOCOL_UDP)
		return EXIT_PROTOCOL;
	if (!source_ipv6_ok(ip))
		return EXIT_SOURCE_ADDRESS;
	if (never_on_wire(ip->destination))
		return EXIT_NOT_LISTENING;
	p->key.address[0] = ip->destination[0];
	p->key.address[1] = ip->destination[1];
	p->key.address[2] = ip->destination[2];
	p->key.address[3] = ip->destination[3];
	return steer_udp(p, (void *)(ip + 1), payload_bytes);
}

INLINE enum exit steer_ip(struct packet *p, void *ip, __u16 ethertype)
{
	if (ethertype == NET16(ETHERTYPE_IPV4))
		return steer_ipv4(p, ip);
	if (ethertype == NET16(ETHERTYPE_IPV6))
		return steer_ipv6(p, ip);
	return EXIT_ETHERTYPE;
}

INLINE int is_tpid(__u16 ethertype)
{
	return ethertype == NET16(TPID_8021Q) || ethertype == NET16(TPID_8021AD);
}

// The VLAN identifier of a tag, or 0 if the tag is cut off or names none (a priority tag: the kernel
// takes it off and answers without it, so it is left to the kernel).
INLINE __u16 vlan_id(struct packet *p, struct vlan_tag *tag)
{
	if ((void *)(tag + 1) > p->end)
		return 0;
	p->rest_bytes -= sizeof(*tag);
	return NET16(tag->control) & VLAN_ID_MASK;
}

INLINE enum exit steer_ethernet(struct packet *p, struct ethernet *eth)
{
	struct vlan_tag *outer = (void *)(eth + 1), *inner = outer + 1;
	__u32 zero = 0;
	struct link *own = bpf_map_lookup_elem(&link, &zero);

	if (!own || !own->ready)
		return EXIT_NOT_READY;
	if ((void *)(eth + 1) > p->end)
		return EXIT_ETHERNET_SHORT;
	if (p->rest_bytes > own->max_frame_bytes)
		return EXIT_OVERSIZE;
	// Groups' traffic is much of what an idle interface gets: it need not be looked at.
	if (*(__u8 *)eth->destination & 1)
		return EXIT_OTHER_MAC;
	// The reply goes there: it must not be a group.
	if (*(__u8 *)eth->source & 1)
		return EXIT_SOURCE_MAC;
	p->ethernet = eth;
	p->rest_bytes -= sizeof(*eth);
	if (!is_tpid(eth->ethertype))
		return steer_ip(p, eth + 1, eth->ethertype);
	p->key.vlan_outer = vlan_id(p, outer);
	if (!p->key.vlan_outer)
		return EXIT_VLAN;
	if (!is_tpid(outer->ethertype))
		return steer_ip(p, outer + 1, outer->ethertype);
	p->key.vlan_inner = vlan_id(p, inner);
	if (!p->key.vlan_inner)
		return EXIT_VLAN;
	return steer_ip(p, inner + 1, inner->ethertype);
}

SEC("xdp")
int steer(struct xdp_md *ctx)
{
	struct packet p = {
		.ctx = ctx,
		.end = (void *)(unsigned long)ctx->data_end,
		.rest_bytes = bpf_xdp_get_buff_len(ctx),
	};
	void *data = (void *)(unsigned long)ctx->data;
	__u32 exit = steer_ethernet(&p, data);
	__u64 *count = bpf_map_lookup_elem(&counters, &exit);

	if (count)
		*count += 1;
	return exit == EXIT_REDIRECTED ? XDP_REDIRECT : XDP_PASS;
}

char steer_license[] SEC("license") = "MIT OR Apache-2.0";
