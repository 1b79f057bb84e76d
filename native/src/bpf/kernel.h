// The few fields of the kernel's own types that our programs read. CO-RE: the loader finds where they lie in the running kernel (its BTF), so
// neither a kernel's headers nor a dump of its types are needed to compile.
#ifndef AETHER_BPF_KERNEL_H
#define AETHER_BPF_KERNEL_H

#include <linux/types.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
  __u64 id;
};
struct cgroup {
  struct kernfs_node *kn;
};
struct cgroup_subsys_state {
  struct cgroup *cgroup;
};
struct css_set {
  struct cgroup_subsys_state *subsys[16];
  struct cgroup *dfl_cgrp;
};
struct task_struct {
  unsigned int __state;
  unsigned int flags;
  unsigned long jobctl;
  int pid;
  struct css_set *cgroups;
};
struct task_struct___before_5_14 {
  volatile long state;
};

struct ns_common {
  unsigned int inum;
};
struct net {
  struct ns_common ns;
};
typedef struct {
  struct net *net;
} possible_net_t;
struct sock_common {
  possible_net_t skc_net;
};
struct sock {
  struct sock_common __sk_common;
};
struct net_device {
  possible_net_t nd_net;
};
struct sk_buff {
  struct net_device *dev;
};

#pragma clang attribute pop

// Only the name counts: the value comes from the running kernel.
enum cgroup_subsys_id { freezer_cgrp_id = 0 };

#endif
