// What the scheduler and TCP do to watched workloads. Attached only while somebody watches: a look at each change of tasks costs.
#include "kernel.h"
#include "records.h"

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

// Where there is no cgroup2 hierarchy, workloads are told apart by that of the version 1 freezer.
const volatile int is_v1 = 0;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, __u64); // cgroup id: the inode of its folder
  __type(value, struct watch);
} watches SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, __u32); // inode of the namespace
  __type(value, struct tcp_counts);
} namespaces SEC(".maps");

// When a task became able to run. LRU: a task that ends without having run leaves nothing to clean.
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16384);
  __type(key, __u32);
  __type(value, __u64);
} waiting SEC(".maps");

static __always_inline __u64 cgroup_of(struct task_struct *task) {
  struct css_set *set = BPF_CORE_READ(task, cgroups);
  if (!is_v1) return BPF_CORE_READ(set, dfl_cgrp, kn, id);
  struct cgroup_subsys_state *state = 0;
  unsigned long offset = bpf_core_field_offset(struct css_set, subsys) + bpf_core_enum_value(enum cgroup_subsys_id, freezer_cgrp_id) * sizeof(void *);
  bpf_probe_read_kernel(&state, sizeof state, (void *)set + offset);
  return BPF_CORE_READ(state, cgroup, kn, id);
}

static __always_inline struct watch *watch_of(struct task_struct *task) {
  __u64 id = cgroup_of(task);
  return bpf_map_lookup_elem(&watches, &id);
}

static __always_inline long state_of(struct task_struct *task) {
  if (bpf_core_field_exists(task->__state)) return BPF_CORE_READ(task, __state);
  return BPF_CORE_READ((struct task_struct___before_5_14 *)task, state);
}

// Stopped by a signal (4), traced (8), frozen (0x8000 from 6.1; before it PF_FROZEN), or on its way into the cgroup2 freezer (JOBCTL_TRAP_FREEZE).
static __always_inline int is_stopping(struct task_struct *task) {
  return (state_of(task) & (0x4 | 0x8 | 0x8000)) || (BPF_CORE_READ(task, flags) & 0x10000) || (BPF_CORE_READ(task, jobctl) & (1UL << 23));
}

static __always_inline void await(struct task_struct *task, __u64 now) {
  __u32 pid = BPF_CORE_READ(task, pid);
  if (pid && watch_of(task)) bpf_map_update_elem(&waiting, &pid, &now, BPF_ANY);
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(on_wakeup, struct task_struct *task) {
  await(task, bpf_ktime_get_ns());
  return 0;
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(on_wakeup_new, struct task_struct *task) {
  await(task, bpf_ktime_get_ns());
  return 0;
}

static __always_inline void count_delay(struct watch *watch, __u64 ns) {
  __u64 us = ns / 1000;
  __u32 slot = 0;
  for (int i = 0; i < delay_slots - 1 && us; i++) {
    us >>= 1;
    slot++;
  }
  if (slot < delay_slots) __sync_fetch_and_add(&watch->delays[slot], 1);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, _Bool is_preempted, struct task_struct *before, struct task_struct *after) {
  __u64 now = bpf_ktime_get_ns();
  struct watch *watch = BPF_CORE_READ(before, pid) ? watch_of(before) : 0;
  if (watch) {
    if (!is_preempted && is_stopping(before)) {
      if (!watch->stopped_ns) watch->stopped_ns = now;
      watch->ran_ns = 0;
    }
    if (is_preempted || state_of(before) == 0) {
      __u32 pid = BPF_CORE_READ(before, pid);
      bpf_map_update_elem(&waiting, &pid, &now, BPF_ANY);
    }
  }
  __u32 pid = BPF_CORE_READ(after, pid);
  watch = pid ? watch_of(after) : 0;
  if (watch) {
    if (!watch->ran_ns) watch->ran_ns = now;
    __u64 *since = bpf_map_lookup_elem(&waiting, &pid);
    if (since) {
      count_delay(watch, now - *since);
      bpf_map_delete_elem(&waiting, &pid);
    }
  }
  return 0;
}

static __always_inline struct tcp_counts *counts_of(struct net *net) {
  __u32 id = BPF_CORE_READ(net, ns.inum);
  return bpf_map_lookup_elem(&namespaces, &id);
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(on_retransmit, const struct sock *socket) {
  if (!socket) return 0;
  struct tcp_counts *counts = counts_of(BPF_CORE_READ(socket, __sk_common.skc_net.net));
  if (counts) __sync_fetch_and_add(&counts->retransmits, 1);
  return 0;
}

// Without a socket (a packet for a port where nobody listens) the packet's device tells the namespace.
SEC("tp_btf/tcp_send_reset")
int BPF_PROG(on_reset_sent, const struct sock *socket, const struct sk_buff *packet) {
  struct net *net = 0;
  if (socket) net = BPF_CORE_READ(socket, __sk_common.skc_net.net);
  else if (packet) net = BPF_CORE_READ(packet, dev, nd_net.net);
  if (!net) return 0;
  struct tcp_counts *counts = counts_of(net);
  if (counts) __sync_fetch_and_add(&counts->resets_sent, 1);
  return 0;
}

SEC("tp_btf/tcp_receive_reset")
int BPF_PROG(on_reset_received, struct sock *socket) {
  if (!socket) return 0;
  struct tcp_counts *counts = counts_of(BPF_CORE_READ(socket, __sk_common.skc_net.net));
  if (counts) __sync_fetch_and_add(&counts->resets_received, 1);
  return 0;
}

char program_license[] SEC("license") = "Dual MIT/GPL";
