// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The two limits that the bench shows: `reflect` answers a query inside the driver (XDP_TX), the least that any server
// could do; `redirect` hands it to the AF_XDP socket of its queue, the least that any server on AF_XDP could do.
//
// A query is UDP to port 53, without IP options or fragments. All else goes on to the kernel.

#include "../../lab/bpf/query.h"

struct {
	NUMBER(type, MAP_XSKMAP);
	NUMBER(max_entries, 64);
	TYPE(key, u32);
	TYPE(value, u32);
} xsks SEC(".maps");

#define SWAP(a, b)                                                                                                     \
	do {                                                                                                           \
		u16 kept = (a);                                                                                        \
		(a) = (b);                                                                                             \
		(b) = kept;                                                                                            \
	} while (0)

SEC("xdp")
int reflect(struct xdp_md *ctx)
{
	struct query *query = query_to(ctx, 53);
	u8 *dns = (void *)(query + 1);

	if (!query || (void *)(dns + 4) > (void *)(long)ctx->data_end)
		return ACTION_PASS;
	SWAP(query->destination_mac[0], query->source_mac[0]);
	SWAP(query->destination_mac[1], query->source_mac[1]);
	SWAP(query->destination_mac[2], query->source_mac[2]);
	SWAP(query->source[0], query->destination[0]);
	SWAP(query->source[1], query->destination[1]);
	SWAP(query->source_port, query->destination_port);
	query->udp_checksum = 0;
	dns[2] |= 0x80;
	return ACTION_TX;
}

SEC("xdp")
int redirect(struct xdp_md *ctx)
{
	if (!query_to(ctx, 53))
		return ACTION_PASS;
	return bpf_redirect_map(&xsks, ctx->rx_queue_index, ACTION_PASS);
}

char bench_license[] SEC("license") = "Dual MIT/GPL";
