// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Steers DNS queries into AF_XDP sockets; everything else goes on through the kernel.
//
// What is taken: Ethernet with up to two VLAN tags, IPv4 without options and fragments or IPv6 without extension
// headers, UDP whose lengths agree, from an address that may be answered, to a (VLAN, address, port) in `listen` and
// to the MAC address of the interface that has that address, with a complete DNS header that says "query". Such a
// frame is redirected to the XSKMAP slot of the queue it came in on, if that queue is enabled and, where routes
// matter, the reply's route goes back the same way.
// Whatever misses, in whatever doubt: XDP_PASS, counted by its reason.
//
// What can't be seen: a VLAN tag that the hardware has taken off (rxvlan). Such a frame looks untagged here; it is
// passed unless an untagged listen address is its destination.
//
// Rules of the house for this file:
//  - Packet pointers move by constants only, and the frame's length comes from a helper: so the verifier
//    accepts the program with CAP_BPF and CAP_NET_ADMIN alone. Pointer subtraction, and adding a register
//    to a packet pointer, would ask for CAP_PERFMON too.
//  - What a helper reads from the stack is written there in whole words of 8 bytes (WORD and so on): without
//    CAP_PERFMON, kernels such as 6.1 let no part of a word be written where another part holds a known number.
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
static long (*bpf_fib_lookup)(void *ctx, struct bpf_fib_lookup *params, int bytes, __u32 flags) =
	(void *)BPF_FUNC_fib_lookup;
static __u64 (*bpf_xdp_get_buff_len)(struct xdp_md *ctx) = (void *)BPF_FUNC_xdp_get_buff_len;

// Host to network order of a constant or a loaded value; BPF objects are built for either endianness.
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NET16(x) ((__u16)__builtin_bswap16(x))
#define NET32(x) ((__u32)__builtin_bswap32(x))
#else
#define NET16(x) ((__u16)(x))
#define NET32(x) ((__u32)(x))
#endif

// A word of 8 bytes that holds these in memory, in this order.
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define WORD(a, b) ((__u64)(__u32)(a) | (__u64)(__u32)(b) << 32)
#define HALF(a, b) ((__u32)(__u16)(a) | (__u32)(__u16)(b) << 16)
#define PAIR(a, b) ((__u16)((__u8)(a) | (__u16)(__u8)(b) << 8))
#define SECOND(word) ((word) >> 32) // as the first half, with zeroes behind
#else
#define WORD(a, b) ((__u64)(__u32)(a) << 32 | (__u64)(__u32)(b))
#define HALF(a, b) ((__u32)(__u16)(a) << 16 | (__u32)(__u16)(b))
#define PAIR(a, b) ((__u16)((__u8)(a) << 8 | (__u8)(b)))
#define SECOND(word) ((word) << 32)
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
	EXIT_ROUTE_FORWARDING,
	EXIT_ROUTE_NONE,
	EXIT_ROUTE_NEIGHBOUR,
	EXIT_ROUTE_INTERFACE,
	EXIT_ROUTE_NEXT_HOP,
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
	__u16 vlan_outer;  // VLAN identifier in host order, SERVICE_TAG added for 802.1ad; 0: no tag
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

// A queue has a cache line of its own: others are served by other processors.
struct queue {
	__u32 enabled;    // 1: its socket is bound and served
	__u32 redirected; // packets since then; wraps
	__u32 reserved[14];
};

struct {
	NUMBER(type, BPF_MAP_TYPE_ARRAY);
	NUMBER(max_entries, MAX_QUEUES);
	TYPE(key, __u32);
	TYPE(value, struct queue);
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
#define SERVICE_TAG 0x1000
#define PROTOCOL_UDP 17
// linux/socket.h; net/route.h
#define FAMILY_INET 2
#define FAMILY_INET6 10
#define LOOPBACK_IFINDEX 1
// Everything in the fragment field but "don't fragment": more fragments, the offset, the reserved bit.
#define IPV4_FRAGMENT_MASK 0xbfff

// A frame on its way through the checks.
struct packet {
	struct xdp_md *ctx;
	struct ethernet *ethernet;
	void *end;              // one past the last byte of the frame's first buffer
	__u32 rest_bytes;       // frame length from the header now looked at
	__u32 reply_ifindex;    // that of the place it is to
	__u64 vlan_outer, vlan_inner; // as in listen_key; words, as Linux 6.1 lets no half of one onto the stack
	__u64 source[2];        // addresses, as in `listen_key`
	__u64 destination[2];
};

union key {
	struct listen_key fields;
	__u64 words[3];
};

// The number of a map's entry.
union index {
	__u32 number;
	__u64 word;
};

union route {
	struct bpf_fib_lookup fields;
	__u64 words[8];
};

_Static_assert(sizeof(struct listen_key) == 24 && sizeof(struct bpf_fib_lookup) == 64, "words of 8 bytes");

INLINE int source_ipv4_ok(__u32 source, __u32 destination)
{
	__u32 first = NET32(source) >> 24;

	// 0/8 and 127/8 never come from a wire; 224/4 and above are multicast, reserved, or broadcast.
	if (first == 0 || first == 127 || first >= 224 || source == destination)
		return 0;
	// The last two bits of a directed broadcast address are set, whatever the prefix: so that three of
	// four sources cost no look-up.
	if ((NET32(source) & 3) == 3) {
		union index address = {.word = WORD(source, 0)};

		return !bpf_map_lookup_elem(&broadcast, &address.number);
	}
	return 1;
}

// ::/96 holds the unspecified and the loopback address; ::ffff:0:0/96 is IPv4 in IPv6's dress, never on a
// wire, and would find the IPv4 keys of `listen`.
INLINE int never_on_wire(const __u32 *a)
{
	return a[0] == 0 && a[1] == 0 && (a[2] == 0 || a[2] == NET32(0x0000ffff));
}

INLINE int is_link_local(const __u32 *a)
{
	return (a[0] & NET32(0xffc00000)) == NET32(0xfe800000);
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

// Whether the frame is a query to a place that is listened on; EXIT_REDIRECTED if so.
INLINE enum exit check_udp(struct packet *p, struct udp *udp, __u32 ip_payload_bytes)
{
	struct dns *dns = (void *)(udp + 1);
	struct owner *owner;
	union key key;

	if ((void *)(udp + 1) > p->end || NET16(udp->length) != ip_payload_bytes)
		return EXIT_UDP_LENGTH;
	if (udp->source == 0)
		return EXIT_SOURCE_PORT;
	key.words[0] = p->destination[0];
	key.words[1] = p->destination[1];
	key.words[2] = WORD(HALF(udp->destination, p->vlan_outer), HALF(p->vlan_inner, 0));
	owner = bpf_map_lookup_elem(&listen, &key.fields);
	if (!owner)
		return EXIT_NOT_LISTENING;
	if (!is_to(p->ethernet, owner))
		return EXIT_OTHER_MAC;
	p->reply_ifindex = owner->reply_ifindex;
	if (ip_payload_bytes < sizeof(*udp) + sizeof(*dns) || (void *)(dns + 1) > p->end)
		return EXIT_DNS_SHORT;
	if (dns->flags & 0x80)
		return EXIT_NOT_QUERY;
	return EXIT_REDIRECTED;
}

// Whether a reply that goes back the way its query came takes the way that the kernel would give it:
// EXIT_REDIRECTED if so.
INLINE enum exit check_route(struct packet *p, const struct udp *udp, __u8 family)
{
	const __u16 *source = p->ethernet->source, *next_hop;
	union route route;

	// As for a packet of this host's own: rules with `iif lo` match those. The kernel looks nothing up for an
	// interface that does not forward.
	route.words[0] = WORD(HALF(PAIR(family, PROTOCOL_UDP), udp->destination), HALF(udp->source, 0));
	route.words[1] = WORD(LOOPBACK_IFINDEX, 0);
	if (family == FAMILY_INET) {
		// IPv4 addresses stand at the start of their places.
		route.words[2] = SECOND(p->destination[1]);
		route.words[3] = 0;
		route.words[4] = SECOND(p->source[1]);
		route.words[5] = 0;
	} else {
		route.words[2] = p->destination[0];
		route.words[3] = p->destination[1];
		route.words[4] = p->source[0];
		route.words[5] = p->source[1];
	}
	route.words[6] = 0;
	route.words[7] = 0;
	switch (bpf_fib_lookup(p->ctx, &route.fields, sizeof(route.fields), 0)) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		break;
	case BPF_FIB_LKUP_RET_FWD_DISABLED:
		return EXIT_ROUTE_FORWARDING;
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		// The kernel's own reply finds the neighbour out.
		return route.fields.ifindex == p->reply_ifindex ? EXIT_ROUTE_NEIGHBOUR : EXIT_ROUTE_INTERFACE;
	default:
		return EXIT_ROUTE_NONE;
	}
	if (route.fields.ifindex != p->reply_ifindex)
		return EXIT_ROUTE_INTERFACE;
	next_hop = (const __u16 *)route.fields.dmac;
	if (next_hop[0] != source[0] || next_hop[1] != source[1] || next_hop[2] != source[2])
		return EXIT_ROUTE_NEXT_HOP;
	return EXIT_REDIRECTED;
}

INLINE enum exit redirect(struct packet *p)
{
	union index number = {.word = WORD(p->ctx->rx_queue_index, 0)};
	struct queue *queue = bpf_map_lookup_elem(&queues, &number.number);

	if (!queue || !queue->enabled)
		return EXIT_QUEUE_OFF;
	if (bpf_redirect_map(&xsks, p->ctx->rx_queue_index, XDP_PASS) != XDP_REDIRECT)
		return EXIT_NO_SOCKET;
	// One processor at a time works on a queue; in generic mode two may, and then one of two counts is lost.
	queue->redirected += 1;
	return EXIT_REDIRECTED;
}

INLINE enum exit steer_ipv4(struct packet *p, struct ipv4 *ip)
{
	struct udp *udp = (void *)(ip + 1);
	__u32 total_bytes;
	enum exit exit;

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
	p->destination[0] = 0;
	p->destination[1] = WORD(NET32(0x0000ffff), ip->destination);
	exit = check_udp(p, udp, total_bytes - sizeof(*ip));
	if (exit == EXIT_REDIRECTED && p->reply_ifindex) {
		p->source[1] = WORD(0, ip->source);
		exit = check_route(p, udp, FAMILY_INET);
	}
	return exit == EXIT_REDIRECTED ? redirect(p) : exit;
}

INLINE enum exit steer_ipv6(struct packet *p, struct ipv6 *ip)
{
	struct udp *udp = (void *)(ip + 1);
	__u32 payload_bytes;
	enum exit exit;

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
	p->destination[0] = WORD(ip->destination[0], ip->destination[1]);
	p->destination[1] = WORD(ip->destination[2], ip->destination[3]);
	exit = check_udp(p, udp, payload_bytes);
	// Who asks from a link-local address is on this link, and the kernel looks up no route for one.
	if (exit == EXIT_REDIRECTED && p->reply_ifindex && !is_link_local(ip->source)) {
		p->source[0] = WORD(ip->source[0], ip->source[1]);
		p->source[1] = WORD(ip->source[2], ip->source[3]);
		exit = check_route(p, udp, FAMILY_INET6);
	}
	return exit == EXIT_REDIRECTED ? redirect(p) : exit;
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

// A tag as in `listen_key`, or 0 if it is cut off or names no VLAN (a priority tag: the kernel takes it off and
// answers without it, so it is left to the kernel). VLANs of one number are others in 802.1Q and in 802.1ad.
INLINE __u64 vlan(struct packet *p, __u16 tpid, struct vlan_tag *tag)
{
	__u64 id;

	if ((void *)(tag + 1) > p->end)
		return 0;
	p->rest_bytes -= sizeof(*tag);
	id = NET16(tag->control) & VLAN_ID_MASK;
	return id && tpid == NET16(TPID_8021AD) ? id | SERVICE_TAG : id;
}

INLINE enum exit steer_ethernet(struct packet *p, struct ethernet *eth)
{
	struct vlan_tag *outer = (void *)(eth + 1), *inner = outer + 1;
	union index only = {.word = 0};
	struct link *own = bpf_map_lookup_elem(&link, &only.number);

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
	p->vlan_outer = vlan(p, eth->ethertype, outer);
	if (!p->vlan_outer)
		return EXIT_VLAN;
	if (!is_tpid(outer->ethertype))
		return steer_ip(p, outer + 1, outer->ethertype);
	p->vlan_inner = vlan(p, outer->ethertype, inner);
	if (!p->vlan_inner)
		return EXIT_VLAN;
	return steer_ip(p, inner + 1, inner->ethertype);
}

INLINE int steer_frame(struct xdp_md *ctx)
{
	struct packet p = {
		.ctx = ctx,
		.end = (void *)(unsigned long)ctx->data_end,
		.rest_bytes = bpf_xdp_get_buff_len(ctx),
	};
	void *data = (void *)(unsigned long)ctx->data;
	__u32 exit = steer_ethernet(&p, data);
	union index counter = {.word = WORD(exit, 0)};
	__u64 *count = bpf_map_lookup_elem(&counters, &counter.number);

	if (count)
		*count += 1;
	return exit == EXIT_REDIRECTED ? XDP_REDIRECT : XDP_PASS;
}

SEC("xdp")
int steer(struct xdp_md *ctx)
{
	return steer_frame(ctx);
}

// Passes every frame: for the self-test, which has frames received by running this on them.
SEC("xdp")
int pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

// For MTUs whose frames don't fit one of the driver's buffers. It looks at the first buffer of a frame and at the length
// of the whole; what has its headers elsewhere is the kernel's.
SEC("xdp.frags")
int steer_frags(struct xdp_md *ctx)
{
	return steer_frame(ctx);
}

// bpf_fib_lookup is there for programs that may be passed on under the GPL; the MIT licence allows that. The kernel
// knows this wording only.
char steer_license[] SEC("license") = "Dual MIT/GPL";
