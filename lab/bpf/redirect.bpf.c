// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The least that an AF_XDP socket needs, for the tests of crates/xsk: IPv4 packets to UDP port 4053 go to the socket of
// the queue they came in on, if the queue is enabled; all else goes on to the kernel.

#include "query.h"

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;

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
	u32 queue = ctx->rx_queue_index;
	u32 *enabled;
	u64 *count;

	if (!query_to(ctx, 4053))
		return ACTION_PASS;
	count = bpf_map_lookup_elem(&seen, &queue);
	if (count)
		*count += 1;
	enabled = bpf_map_lookup_elem(&queues, &queue);
	if (!enabled || !*enabled)
		return ACTION_PASS;
	return bpf_redirect_map(&xsks, queue, ACTION_PASS);
}

char redirect_license[] SEC("license") = "Dual MIT/GPL";
