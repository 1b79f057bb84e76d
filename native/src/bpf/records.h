// What the programs in the kernel and the program that loads them share: keys and values of the maps.
#ifndef AETHER_BPF_RECORDS_H
#define AETHER_BPF_RECORDS_H

#include <linux/types.h>

// Powers of two of µs: up to 4 s and above.
enum { delay_slots = 24 };

// A watched cgroup. Times are CLOCK_MONOTONIC, ns; 0: has not happened since it was armed.
struct watch {
  __u64 stopped_ns;          // the first task of it was stopped: frozen, traced, or by a signal
  __u64 ran_ns;              // the first task got a CPU, after the last one that was stopped
  __u64 delays[delay_slots]; // how long a task that could run waited for a CPU: counts by power of two
};

// A watched network namespace.
struct tcp_counts {
  __u64 resets_sent, resets_received, retransmits;
};

enum hold_action { hold_drop = 1, hold_icmp = 2 };

// Network byte order; port 0: every protocol and port.
struct hold_key {
  __u32 address;
  __u16 port, zero;
};
struct hold_rule {
  __u32 action, zero;
  __u64 until_ns; // CLOCK_MONOTONIC: from then on the rule is as if it were not there, whatever has happened to its owner
  __u64 dropped, answered;
};

#endif
