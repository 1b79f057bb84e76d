// Packets for an address while its workload is between two hosts: dropped, as early as the kernel sees them, and with hold_icmp answered by
// "host unreachable", a soft error that makes the sender's TCP take back a step of its back-off (RFC 6069), so that it tries again at once
// when the workload is there. Each rule ends by itself at its deadline.
#include "records.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4096);
  __type(key, struct hold_key);
  __type(value, struct hold_rule);
} rules SEC(".maps");

// The first 8 bytes after the IP header are what an ICMP error must quote; both TCP and UDP begin with the ports.
struct quoted {
  __be16 source, destination;
  __be32 sequence;
};

// linux/icmp.h wants the headers of a C library.
struct icmp_header {
  __u8 type, code;
  __sum16 checksum;
  __be32 unused;
};
enum { icmp_unreachable = 3, icmp_host_unreachable = 1 };

static __always_inline struct hold_rule *rule_for(struct iphdr *ip, void *end) {
  struct hold_key key = {.address = ip->daddr};
  struct hold_rule *rule = bpf_map_lookup_elem(&rules, &key);
  if (!rule && ip->ihl == 5 && (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP) && !(ip->frag_off & bpf_htons(0x1fff))) {
    struct quoted *first = (void *)(ip + 1);
    if ((void *)(first + 1) > end) return 0;
    key.port = first->destination;
    rule = bpf_map_lookup_elem(&rules, &key);
  }
  return rule && rule->action && bpf_ktime_get_ns() < rule->until_ns ? rule : 0;
}

static __always_inline struct iphdr *ip_of(void *data, void *end) {
  struct ethhdr *ethernet = data;
  if ((void *)(ethernet + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP)) return 0;
  struct iphdr *ip = (void *)(ethernet + 1);
  return (void *)(ip + 1) > end || ip->version != 4 ? 0 : ip;
}

static __always_inline __u16 fold(__u32 sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}

SEC("tc")
int hold_tc(struct __sk_buff *packet) {
  void *data = (void *)(long)packet->data, *end = (void *)(long)packet->data_end;
  struct iphdr *ip = ip_of(data, end);
  struct hold_rule *rule = ip ? rule_for(ip, end) : 0;
  if (!rule) return TC_ACT_OK;
  __sync_fetch_and_add(&rule->dropped, 1);
  return TC_ACT_SHOT;
}

SEC("xdp")
int hold_xdp(struct xdp_md *packet) {
  void *data = (void *)(long)packet->data, *end = (void *)(long)packet->data_end;
  struct iphdr *ip = ip_of(data, end);
  struct hold_rule *rule = ip ? rule_for(ip, end) : 0;
  if (!rule) return XDP_PASS;
  __sync_fetch_and_add(&rule->dropped, 1);
  if (rule->action != hold_icmp || ip->protocol != IPPROTO_TCP || ip->ihl != 5) return XDP_DROP;
  struct tcphdr *tcp = (void *)(ip + 1);
  // A SYN that gets this answer gives up at once (RFC 1122, 4.2.3.9); one that gets none tries again.
  if ((void *)(tcp + 1) > end || tcp->syn) return XDP_DROP;

  // New headers in front; the old IP header and 8 bytes of what it carried follow as the quotation.
  enum { added = sizeof(struct iphdr) + sizeof(struct icmp_header), quotation = sizeof(struct iphdr) + sizeof(struct quoted) };
  enum { total = ETH_HLEN + added + quotation };
  struct ethhdr old = *(struct ethhdr *)data;
  __be32 from = ip->daddr, to = ip->saddr;
  if (bpf_xdp_adjust_head(packet, -added)) return XDP_DROP;
  long length = (long)packet->data_end - (long)packet->data;
  if (bpf_xdp_adjust_tail(packet, total - (int)length)) return XDP_DROP;
  data = (void *)(long)packet->data;
  end = (void *)(long)packet->data_end;
  if (data + total > end) return XDP_DROP;
  struct ethhdr *ethernet = data;
  __builtin_memcpy(ethernet->h_dest, old.h_source, ETH_ALEN);
  __builtin_memcpy(ethernet->h_source, old.h_dest, ETH_ALEN);
  ethernet->h_proto = old.h_proto;
  ip = (void *)(ethernet + 1);
  struct icmp_header *icmp = (void *)(ip + 1);
  __builtin_memset(ip, 0, added);
  ip->version = 4;
  ip->ihl = 5;
  ip->tot_len = bpf_htons(total - ETH_HLEN);
  ip->ttl = 64;
  ip->protocol = IPPROTO_ICMP;
  ip->saddr = from;
  ip->daddr = to;
  ip->check = fold(bpf_csum_diff(0, 0, (__be32 *)ip, sizeof *ip, 0));
  icmp->type = icmp_unreachable;
  icmp->code = icmp_host_unreachable;
  icmp->checksum = fold(bpf_csum_diff(0, 0, (__be32 *)icmp, sizeof *icmp + quotation, 0));
  __sync_fetch_and_add(&rule->answered, 1);
  return XDP_TX;
}

char program_license[] SEC("license") = "Dual MIT/GPL";
